"""Lesson 01: distances, four kinds of models, completing an image, judging a model."""

from tests.mutations.changes import changes

LESSON = "lessons/01_generative_models/lesson.ipynb"
TESTS = "tests/lessons/test_generative_models.py"

MUTATIONS = [
    *changes(
        "01",
        LESSON,
        TESTS,
        (
            "k-means: sums for means",
            "x[cluster == c].mean(0)",
            "x[cluster == c].sum(0)",
            "test_k_means_never_gets_worse_with_another_round",
        ),
        (
            "k-means: the farthest centre",
            "cluster = torch.cdist(x, centres).argmin(1)",
            "cluster = torch.cdist(x, centres).argmax(1)",
            "test_k_means_finds_clusters_that_lie_apart",
        ),
        (
            "k-means: the clusters of the round before",
            "return centres, torch.cdist(x, centres).argmin(1)",
            "return centres, cluster",
            "test_k_means_assigns_each_row_to_the_nearest_of_the_centres_it_returns",
        ),
        (
            "best k-means: the first",
            "return min(found, key=lambda one: spread(x, *one))",
            "return found[0]",
            "test_the_best_k_means_is_the_best_of_its_starts",
        ),
        (
            "best k-means: the worst",
            "return min(found, key=lambda one: spread(x, *one))",
            "return max(found, key=lambda one: spread(x, *one))",
            "test_the_best_k_means_is_the_best_of_its_starts",
        ),
        (
            "principal components: the mean stays in",
            "torch.linalg.svd(x - mean, full_matrices=False)",
            "torch.linalg.svd(x, full_matrices=False)",
            "test_principal_components_are_eigenvectors_of_the_covariance",
        ),
        (
            "principal components: lengths for variances",
            "lengths[:m] ** 2 / len(x)",
            "lengths[:m] / len(x)",
            "test_principal_components_are_eigenvectors_of_the_covariance",
        ),
        (
            "forward KL: averaged over the model",
            "return STEP * (log_p.exp() * (log_p - log_q)).sum(-1)",
            "return STEP * (log_q.exp() * (log_p - log_q)).sum(-1)",
            "test_divergences_between_densities_equal_adaptive_quadrature",
        ),
        (
            "forward KL: the step of the grid left out",
            "return STEP * (log_p.exp() * (log_p - log_q)).sum(-1)",
            "return (log_p.exp() * (log_p - log_q)).sum(-1)",
            "test_divergences_between_densities_equal_adaptive_quadrature",
        ),
        (
            "reverse KL: forward",
            "return forward_kl(log_q, log_p)",
            "return forward_kl(log_p, log_q)",
            "test_divergences_between_densities_equal_adaptive_quadrature",
        ),
        (
            "Wasserstein: densities for distribution functions",
            "torch.cumulative_trapezoid(log_p.exp() - log_q.exp(), dx=STEP)",
            "(log_p.exp() - log_q.exp())",
            "test_wasserstein_on_the_grid_equals_the_difference_of_quantiles",
        ),
        (
            "transport of samples: the second one unsorted",
            "(x.sort().values - y.sort().values)",
            "(x.sort().values - y)",
            "test_transport_of_samples_is_that_of_scipy",
        ),
        (
            "two clusters: the larger one on the right",
            "[(0.65, Normal(-2, 0.6)), (0.35, Normal(2, 0.6))]",
            "[(0.35, Normal(-2, 0.6)), (0.65, Normal(2, 0.6))]",
            "test_the_two_clusters_and_their_distances_are_those_of_the_figure",
        ),
        (
            "staircase: the slope multiplies",
            "Normal(0, 1).log_prob(z) - self.slope(z).log()",
            "Normal(0, 1).log_prob(z) + self.slope(z).log()",
            "test_the_pushed_density_is_the_law_that_statistics_knows",
        ),
        (
            "staircase: the slope of tanh without the factor",
            "0.4 + 6 * (1 - left**2)",
            "0.4 + (1 - left**2)",
            "test_the_slope_of_the_staircase_is_its_derivative_and_the_inverse_goes_back",
        ),
        (
            "staircase: both steps on one side",
            "left, right = torch.tanh(6 * z + 3), torch.tanh(6 * z - 3)",
            "left, right = torch.tanh(6 * z + 3), torch.tanh(6 * z + 3)",
            "test_the_slope_of_the_staircase_is_its_derivative_and_the_inverse_goes_back",
        ),
        (
            "bisection: the wrong half",
            "low.where(~below, middle)",
            "low.where(below, middle)",
            "test_the_slope_of_the_staircase_is_its_derivative_and_the_inverse_goes_back",
        ),
        (
            "hidden coin: without p(z)",
            "return math.log(0.5) + Normal(torch.tensor([-2, 2]), 1)",
            "return Normal(torch.tensor([-2, 2]), 1)",
            "test_the_bound_of_the_hidden_coin_falls_short_by_the_divergence",
        ),
        (
            "hidden coin: the entropy with the other sign",
            "(self.log_joint(x) - log_q)).sum(1)",
            "(self.log_joint(x) + log_q)).sum(1)",
            "test_the_bound_of_the_hidden_coin_falls_short_by_the_divergence",
        ),
        (
            "hidden coin: q of the other side",
            "log_q = F.logsigmoid(self.slope * x * torch.tensor([-1, 1]))",
            "log_q = F.logsigmoid(self.slope * x * torch.tensor([1, -1]))",
            "test_the_bound_of_the_hidden_coin_falls_short_by_the_divergence",
        ),
        (
            "hidden coin: samples of half the distance",
            "return 4 * z - 2 + torch.randn",
            "return 2 * z - 1 + torch.randn",
            "test_samples_of_the_hidden_coin_follow_its_density",
        ),
        (
            "voters: four votes",
            "majority = (x + above_below + left_right > 2.5)",
            "majority = (above_below + left_right > 2.5)",
            "test_the_voters_settle_in_the_chains_own_distribution",
        ),
        (
            "voters: the noise on one side only",
            "self.noise + (1 - 2 * self.noise) * majority",
            "self.noise + (1 - self.noise) * majority",
            "test_the_voters_settle_in_the_chains_own_distribution",
        ),
        (
            "two-sided test: one side",
            "return -2 * torch.minimum(above, below)",
            "return -2 * above",
            "test_the_two_sided_score_is_least_in_the_middle_and_zero_beyond_both_ends",
        ),
        (
            "area: ties not counted",
            "0.5 * (gap == 0).double()",
            "0 * (gap == 0).double()",
            "test_area_is_that_of_the_roc_curve_with_ties",
        ),
        (
            "conditional Gaussian: the mean moves the other way",
            "return mu + (y - mu @ A.T) @ K.T",
            "return mu - (y - mu @ A.T) @ K.T",
            "test_what_is_given_equals_the_conditional_by_the_precision",
        ),
        (
            "conditional Gaussian: the covariance grows",
            "sigma - K @ A @ sigma",
            "sigma + K @ A @ sigma",
            "test_what_is_given_equals_the_conditional_by_the_precision",
        ),
        (
            "classifier score: without the exponential",
            "(p * (p / p.mean(0)).log()).sum(1).mean().exp().item()",
            "(p * (p / p.mean(0)).log()).sum(1).mean().item()",
            "test_the_classifier_score_runs_from_one_to_the_number_of_classes",
        ),
        (
            "classifier score: against even classes",
            "(p * (p / p.mean(0)).log())",
            "(p * (p / 0.1).log())",
            "test_the_classifier_score_runs_from_one_to_the_number_of_classes",
        ),
        (
            "nearest image: the farthest one",
            "torch.cdist(x, others).amin(1).median()",
            "torch.cdist(x, others).amax(1).median()",
            "test_nearest_distance_is_blind_to_what_is_missing",
        ),
        (
            "nats lost: the difference turned round",
            "lost += (truth.log_prob(test) - model.log_prob(test))",
            "lost += (model.log_prob(test) - truth.log_prob(test))",
            "test_what_a_right_family_loses_is_parameters_over_twice_the_examples",
        ),
    ),
    *changes(
        "01",
        LESSON,
        LESSON,
        (
            "dilution: a tenth, not a hundredth",
            "torch.logaddexp(honest + math.log(0.01)",
            "torch.logaddexp(honest + math.log(0.1)",
        ),
    ),
    *changes(
        "01",
        "genlib/core/energy.py",
        "tests/core/test_families.py",
        (
            "energy: Z multiplies",
            "return -self._energy(x) - self.log_partition()",
            "return -self._energy(x) + self.log_partition()",
            "TestEnergies",
        ),
        (
            "energy: Z of the opposite energy",
            "parts = [-self._energy(part)",
            "parts = [self._energy(part)",
            "TestEnergies::test_states_of_any_number_are_listed",
        ),
    ),
]
