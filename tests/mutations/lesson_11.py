"""Lesson 11: decompositions, projected errors, autoencoders, likelihoods and elbows."""

from tests.mutations.changes import changes

MUTATIONS = [
    *changes(
        "11",
        "lessons/11_pca/lesson.ipynb",
        "tests/lessons/test_pca.py",
        (
            "covariance: divided by N − 1",
            "S = (x - mean).T @ (x - mean) / len(x)",
            "S = (x - mean).T @ (x - mean) / (len(x) - 1)",
            "test_eigenvalues_and_directions_are_numpys",
        ),
        (
            "covariance: about the origin",
            "S = (x - mean).T @ (x - mean) / len(x)",
            "S = x.T @ x / len(x)",
            "test_eigenvalues_and_directions_are_numpys",
        ),
        (
            "eigenvalues: the smallest first",
            "return mean, values.flip(0), vectors.flip(1)",
            "return mean, values, vectors",
            "test_eigenvalues_and_directions_are_numpys",
        ),
        (
            "singular values: squares not divided by N",
            "return mean, s.square() / len(x), Ut.T",
            "return mean, s.square(), Ut.T",
            "test_eigenvalues_and_directions_are_numpys",
        ),
        (
            "reconstruction: the mean not added",
            "return mean + z @ U.T",
            "return z @ U.T",
            "test_the_error_is_a_loop_over_rows_and_the_dropped_eigenvalues",
        ),
        (
            "error: mean over columns too",
            "return (x - reconstruction).square().sum(1).mean()",
            "return (x - reconstruction).square().mean()",
            "test_the_error_is_a_loop_over_rows_and_the_dropped_eigenvalues",
        ),
        (
            "projected error: columns not orthonormal",
            "Q = torch.linalg.qr(Q).Q\\n",
            "Q = Q / Q.norm(dim=0)\\n",
            "test_the_projected_error_is_that_of_least_squares",
        ),
        (
            "projected error: its sign",
            "return S.trace() - (Q.T @ S @ Q).trace()",
            "return (Q.T @ S @ Q).trace()",
            "test_the_projected_error_is_that_of_least_squares",
        ),
        (
            "linear autoencoder: the code not decoded from the rows",
            "loss = (root - A @ (W @ root)).square().sum()",
            "loss = (root - A @ W).square().sum()",
            "test_the_linear_autoencoder_is_trained_on_the_error_of_its_rows",
        ),
        (
            "cosines: bases not orthonormal",
            "torch.linalg.qr(A).Q.T @ torch.linalg.qr(B).Q)",
            "(A / A.norm(dim=0)).T @ torch.linalg.qr(B).Q)",
            "test_cosines_are_those_of_scipys_angles",
        ),
        (
            "one entry: the largest score, not the largest in absolute value",
            "j = scores.abs().argmax()",
            "j = scores.argmax()",
            "test_the_best_code_of_one_entry_is_the_best_of_all",
        ),
        (
            "best decoder: without an intercept",
            "    h = h - h.mean(0)\\n",
            "",
            "test_the_best_decoder_is_numpys_regression_with_an_intercept",
        ),
        (
            "trained autoencoder: mean over columns too",
            "loss = (net(centred) - centred).square().sum(1).mean()",
            "loss = (net(centred) - centred).square().mean()",
            "test_no_trained_autoencoder_gets_below_pca",
        ),
        (
            "elbow: counted from 0",
            "return (chord - heights).argmax().item() + 1",
            "return (chord - heights).argmax().item()",
            "test_the_elbow_is_farthest_from_the_chord",
        ),
        (
            "likelihoods: the training rows twice",
            "for part in (train, valid)])",
            "for part in (train, train)])",
            "test_likelihoods_of_each_number_are_scipys",
        ),
        (
            "bumps: on a line, not on a ring",
            " + pixels / 2) % pixels - pixels / 2",
            ")",
            "test_bumps_are_gaussians_on_a_ring",
        ),
        (
            "bumps: the exponent not halved",
            "torch.exp(-gap.square() / (2 * width**2))",
            "torch.exp(-gap.square() / width**2)",
            "test_bumps_are_gaussians_on_a_ring",
        ),
        (
            "bumps: a segment that is a ring",
            "    if ring:",
            "    if True:",
            "test_bumps_on_a_segment_end_at_its_ends",
        ),
        (
            "nearest class mean: columns not divided by their spread",
            "z = model.encode(table / scale)",
            "z = model.encode(table)",
            "test_the_accuracy_of_class_means_is_a_loop_over_halves",
        ),
        (
            "height: the determinant not halved",
            "return -0.5 * (n * math.log(2 * math.pi) + torch.logdet(C)",
            "return -0.5 * (n * math.log(2 * math.pi) + 2 * torch.logdet(C)",
            "test_the_height_from_the_covariance_is_scipys_mean",
        ),
        (
            "stationary points: the noise left in the eigenvalues",
            "(lam[kept] - rest).sqrt(), rest",
            "lam[kept].sqrt(), rest",
            "test_the_height_from_the_covariance_is_scipys_mean",
        ),
        (
            "by pairs: without the ridge",
            "pairwise + ridge * torch.eye(images.shape[1])",
            "pairwise",
            "test_hidden_pixels_by_pairs_are_conditional_means",
        ),
        (
            "by pairs: from the origin",
            "(image - by_mean)[~h])",
            "image[~h])",
            "test_hidden_pixels_by_pairs_are_conditional_means",
        ),
    ),
]
