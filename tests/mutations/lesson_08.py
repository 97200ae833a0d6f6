"""Lesson 08: mixtures, the bound, EM and its limit."""

from tests.mutations.changes import changes

LESSON = "lessons/08_mixtures_and_em/lesson.ipynb"
TESTS = "tests/lessons/test_mixtures_and_em.py"
JOINT = "test_the_joint_the_density_and_the_posterior_are_scipys"
BOUND = "test_the_bound_and_the_divergence_are_sums_over_z"
M_STEP = "test_the_m_step_is_numpys_weighted_mean_and_covariance"
MEANS = "test_with_equal_weights_and_widths_the_means_move_as_in_em"

MUTATIONS = [
    *changes(
        "08",
        LESSON,
        TESTS,
        (
            "joint: the weights forgotten",
            "return weights.log() + gaussians.log_prob(x[:, None])",
            "return gaussians.log_prob(x[:, None])",
            JOINT,
        ),
        (
            "density: the likeliest component alone",
            "return log_joint(x, *theta).logsumexp(1)",
            "return log_joint(x, *theta).amax(1)",
            JOINT,
        ),
        (
            "posterior: normalised over the rows",
            "return log_joint(x, *theta).softmax(1)",
            "return log_joint(x, *theta).softmax(0)",
            JOINT,
        ),
        (
            "ancestral samples: the covariance in place of its root",
            "roots = torch.linalg.cholesky(sigmas)[z]",
            "roots = sigmas[z]",
            "test_ancestral_samples_have_the_mixtures_moments_and_frequencies",
        ),
        (
            "entropy: its sign",
            "return -torch.xlogy(q, q).sum(1)",
            "return torch.xlogy(q, q).sum(1)",
            BOUND,
        ),
        (
            "bound: the entropy subtracted, as in the document",
            "(q * log_joint(x, *theta)).sum(1) + entropy(q)",
            "(q * log_joint(x, *theta)).sum(1) - entropy(q)",
            BOUND,
        ),
        (
            "divergence: the other way round",
            "(torch.xlogy(q, q) - torch.xlogy(q, p)).sum(1)",
            "(torch.xlogy(p, p) - torch.xlogy(p, q)).sum(1)",
            BOUND,
        ),
        (
            "M-step: means over all rows",
            "means = q.T @ x / counts[:, None]\\n",
            "means = q.T @ x / len(x)\\n",
            M_STEP,
        ),
        (
            "M-step: covariances over all rows",
            "outer / counts[:, None, None]",
            "outer / len(x)",
            M_STEP,
        ),
        (
            "M-step: covariances about the mean of all",
            "gaps = x[:, None] - means",
            "gaps = x[:, None] - x.mean(0)",
            M_STEP,
        ),
        (
            "zero-variance limit: the exponent not halved",
            "square() / (2 * sigma**2)).softmax(1)",
            "square() / sigma**2).softmax(1)",
            MEANS,
        ),
        (
            "zero-variance limit: distances not squared",
            "(-torch.cdist(x, means).square()",
            "(-torch.cdist(x, means)",
            MEANS,
        ),
    ),
]
