"""Lesson 09: sums over causes, divergences, gradients, the VAE by hand."""

from tests.mutations.changes import changes

MUTATIONS = changes(
    "09",
    "lessons/09_variational_autoencoders/lesson.ipynb",
    "tests/lessons/test_variational_autoencoders.py",
    (
        "joint of causes and pixels: the prior left out",
        "return log_likelihood - z.shape[1] * math.log(2)",
        "return log_likelihood",
        "test_the_joint_is_a_product_of_coins",
    ),
    (
        "a sum that comes apart: one term for each cause",
        "return each.logsumexp(0).sum(1)",
        "return each.mean(0).sum(1)",
        "test_a_sum_that_comes_apart_is_the_sum_over_all_states",
    ),
    (
        "effective sample size: no squares",
        "return 1 / (log_weight.softmax(0) ** 2).sum(0)",
        "return 1 / log_weight.softmax(0).sum(0)",
        "test_the_effective_sample_size_between_its_ends",
    ),
    (
        "KL of Gaussians: the logarithm turned round",
        "factor_2.diagonal().log() - factor_1.diagonal().log()",
        "factor_1.diagonal().log() - factor_2.diagonal().log()",
        "test_the_divergence_of_gaussians_is_pytorchs",
    ),
    (
        "KL to the prior: log sigma for log variance",
        "0.5 * (mean**2 + (2 * log_sigma).exp() - 1) - log_sigma",
        "0.5 * (mean**2 + log_sigma.exp() - 1) - log_sigma",
        "test_the_divergence_from_the_prior_is_an_integral",
    ),
    (
        "score-function gradient: divided by sigma no more",
        "score = noise / sigma",
        "score = noise",
        "test_all_three_gradients_are_right_on_average",
    ),
    (
        "linear bound: the code does not vary",
        "missed = missed + (W**2 * s2).sum()",
        "missed = missed + 0 * (W**2 * s2).sum()",
        "test_the_linear_bound_is_genlibs",
    ),
    (
        "VAE by hand: a mean over latent variables",
        "return self.log_likelihood(x, z) - kl.sum(1)",
        "return self.log_likelihood(x, z) - kl.mean(1)",
        "test_the_loss_is_a_mean_over_rows_of_sums",
    ),
    (
        "VAE by hand: no noise",
        "        z = mean + log_sigma.exp() * torch.randn_like(mean)",
        "        z = mean + 0 * torch.randn_like(mean)",
        "test_the_loss_is_a_mean_over_rows_of_sums",
    ),
    (
        "all pixels before: the pixel itself as well",
        "self.weights.tril(-1)",
        "self.weights.tril()",
        "test_pixels_in_turn_see_only_the_pixels_before",
    ),
    (
        "pixels in turn: drawn by the complement",
        "x[:, i] = (u[:, i] < p).float()",
        "x[:, i] = (u[:, i] > p).float()",
        "test_pixels_in_turn_are_drawn_from_their_own_density",
    ),
    (
        "stray ink: a pixel is its own neighbour",
        "torch.ones(1, 1, 3, 3), padding=1) - ink",
        "torch.ones(1, 1, 3, 3), padding=1)",
        "test_stray_ink_and_fine_power_on_pictures_made_for_them",
    ),
)
