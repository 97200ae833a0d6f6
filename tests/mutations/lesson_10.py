"""Lesson 10: information, turned codes, probes, weighted bounds, flows, two layers."""

from tests.mutations.changes import changes

MUTATIONS = changes(
    "10",
    "lessons/10_beyond_the_vae/lesson.ipynb",
    "tests/lessons/test_beyond_the_vae.py",
    (
        "mutual information: the product of marginals forgotten",
        "torch.special.xlogy(p, p / apart.clamp_min(1e-12)).sum()",
        "torch.special.xlogy(p, p).sum()",
        "test_information_is_scikit_learns",
    ),
    (
        "levels: one rank only",
        "v.argsort().argsort() * count // len(v)",
        "v.argsort() * count // len(v)",
        "test_levels_are_equally_full",
    ),
    (
        "mutual information gap: the best alone",
        "return best - second",
        "return best",
        "test_the_gap_is_between_the_best_two",
    ),
    (
        "turned model: the decoder does not turn back",
        "out = model.decoder(z @ R)",
        "out = model.decoder(z)",
        "test_a_turned_model_has_the_same_bound_and_a_diagonal_q_less",
    ),
    (
        "diagonal q: the marginal variances",
        "torch.diag_embed(1 / torch.linalg.inv(",
        "torch.diag_embed(1 * (",
        "test_a_turned_model_has_the_same_bound_and_a_diagonal_q_less",
    ),
    (
        "ridge probe: the ridge does not grow with the rows",
        "s**2 + len(a) * r",
        "s**2 + r * 1e-3",
        "test_a_ridge_probe_is_the_normal_equations",
    ),
    (
        "density of a Gaussian: log sigma left out",
        "each = -0.5 * (scaled**2 + math.log(2 * math.pi)) - log_sigma",
        "each = -0.5 * (scaled**2 + math.log(2 * math.pi)) - 0 * log_sigma",
        "test_the_log_density_of_a_diagonal_gaussian",
    ),
    (
        "weighted bound: the mean of the logarithms",
        "return log_w.logsumexp(0) - math.log(len(log_w))",
        "return log_w.mean(0)",
        "test_the_weighted_bound_is_the_logarithm_of_the_mean",
    ),
    (
        "importance weights: the prior left out",
        "return log_lik + prior - log_normal(z, mean, log_sigma)",
        "return log_lik - log_normal(z, mean, log_sigma)",
        "test_weights_average_to_the_evidence",
    ),
    (
        "gradients: squares without the derivative of log q",
        "(w**2 * (slope + noise / sigma)).sum(1)",
        "(w**2 * slope).sum(1)",
        "test_gradients_of_the_weighted_bound_are_autograds",
    ),
    (
        "planar flow: the determinant of the raw step",
        "slope = (1 - t**2) * (u * w).sum(-1, keepdim=True)",
        "slope = (1 - t**2) * along",
        "test_a_planar_flows_determinant_is_autograds",
    ),
    (
        "planar flow: the step is not held back",
        "u = u + (allowed - along) * w",
        "u = u + 0 * w",
        "test_a_planar_flows_determinant_is_autograds",
    ),
    (
        "bent q: the determinant added",
        "log_q = log_q - log_det",
        "log_q = log_q + log_det",
        "test_a_bent_q_is_a_density",
    ),
    (
        "two layers: the upper q left out",
        "return log_lik + ratio_1 + top - log_normal(z_2, *q_2)",
        "return log_lik + ratio_1 + top",
        "test_the_bound_of_two_layers_is_genlibs",
    ),
    (
        "slope of the ink: the sign",
        "return -both / (x.sum(2) * down**2).sum(1)",
        "return both / (x.sum(2) * down**2).sum(1)",
        "test_the_slope_of_a_leaning_stroke",
    ),
)
