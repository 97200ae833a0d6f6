"""Lesson 04: the divergence, exponential families, the coder, likelihood and its errors, priors."""

from tests.mutations.changes import changes

LESSON = "lessons/04_maximum_likelihood/lesson.ipynb"
TESTS = "tests/lessons/test_maximum_likelihood.py"
INTERVAL = "test_the_code_is_a_number_in_the_messages_interval"
COMB = "test_the_comb_gives_each_level_its_probability_and_loses_the_divergence"
NETWORK = "test_the_loss_of_the_network_is_the_gaussians_and_its_slopes_are_the_printed_ones"
ALPHA = "test_both_ends_of_the_alpha_divergences_are_quadratures"
FAMILY = "test_the_gradient_of_an_exponential_family_is_data_less_model"

MUTATIONS = [
    *changes(
        "04",
        LESSON,
        TESTS,
        (
            "KL: averaged over q",
            "torch.xlogy(p, p) - torch.xlogy(p, q)",
            "torch.xlogy(q, p) - torch.xlogy(q, q)",
            "test_kl_is_scipys_and_torchs_and_never_negative",
        ),
        (
            "KL: the entropy left out",
            "(torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)",
            "(-torch.xlogy(p, q)).sum(-1)",
            "test_kl_is_scipys_and_torchs_and_never_negative",
        ),
        (
            "KL: 0 log 0 is not a number",
            "(torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)",
            "(p * p.log() - p * q.log()).sum(-1)",
            "test_zeros_cost_nothing_or_everything",
        ),
        (
            "decoder: the piece before, at an edge",
            "bisect_right(table, value // step) - 1",
            "bisect_right(table, value // step - 1) - 1",
            "test_the_coder_is_exact_and_within_a_byte_on_awkward_messages",
        ),
        (
            "counts: alpha is 1, not 1/g",
            "* gain + 1).cumsum(1)",
            "* gain + gain).cumsum(1)",
            "test_tables_hold_the_smoothed_counts_of_each_context",
        ),
        (
            "counts: the context one symbol short",
            "return nn.functional.pad(sums, (1, 0)).tolist()",
            "return nn.functional.pad(sums.roll(1, 0), (1, 0)).tolist()",
            "test_tables_hold_the_smoothed_counts_of_each_context",
        ),
        (
            "smoothed counts: alpha once instead of S times",
            "(context + alpha * states)).double().log()",
            "(context + alpha)).double().log()",
            "test_every_context_gets_a_distribution",
        ),
        (
            "smoothed counts: alpha below alone",
            "((whole + alpha) / (context + alpha * states))",
            "(whole / (context + alpha * states))",
            "test_every_context_gets_a_distribution",
        ),
        (
            "counts by sorting: a context of the next symbol",
            "occurrences(grams // states, queries // states)",
            "occurrences(grams % states, queries % states)",
            "test_counts_by_sorting_are_counts",
        ),
        (
            "hierarchy: even shares at every order",
            "predicted = (whole + beta * predicted) / (context + beta)",
            "predicted = (whole + beta / states) / (context + beta)",
            "test_each_order_is_the_prior_of_the_next",
        ),
        (
            "hierarchy: beta left out below",
            "predicted = (whole + beta * predicted) / (context + beta)",
            "predicted = (whole + beta * predicted) / (context + 1)",
            "test_each_order_is_the_prior_of_the_next",
        ),
        (
            "standard error: N not under a root",
            "error = scores.std(1) / math.sqrt(scores.shape[1])",
            "error = scores.std(1) / scores.shape[1]",
            "test_coverage_counts_the_intervals_that_hold_the_truth",
        ),
        (
            "error of a mean: the variance for the deviation",
            "(b.std() / len(b) ** 0.5).item()",
            "(b.var() / len(b) ** 0.5).item()",
            "test_the_error_of_a_mean_is_that_of_scipy",
        ),
        (
            "bits per dimension: the sign of log Delta",
            "-(log_density / dims + math.log(cell)) / math.log(2)",
            "-(log_density / dims - math.log(cell)) / math.log(2)",
            "test_bits_per_dimension_do_not_depend_on_the_units",
        ),
        (
            "bits per dimension: of the whole, not of a dimension",
            "-(log_density / dims + math.log(cell)) / math.log(2)",
            "-(log_density + math.log(cell)) / math.log(2)",
            "test_bits_per_dimension_do_not_depend_on_the_units",
        ),
        (
            "bits per dimension: in nats",
            "-(log_density / dims + math.log(cell)) / math.log(2)",
            "-(log_density / dims + math.log(cell))",
            "test_bits_per_dimension_do_not_depend_on_the_units",
        ),
        (
            "test of a variance: degrees of freedom",
            "law = stats.chi2(len(values) - 1)",
            "law = stats.chi2(2 * len(values))",
            "test_the_test_of_a_variance_alarms_as_often_as_it_says",
        ),
        (
            "coder: the interval from the top of the piece",
            "low, width = low + step * start, step * (end - start)",
            "low, width = low + step * end, step * (end - start)",
            INTERVAL,
        ),
        (
            "coder: a width of one step",
            "low, width = low + step * start, step * (end - start)",
            "low, width = low + step * start, step",
            INTERVAL,
        ),
        (
            "coder: an end below the interval",
            "last = -(-low // LEAST)",
            "last = low // LEAST",
            INTERVAL,
        ),
        (
            "ideal length: nats, not bits",
            "bits += math.log2(table[-1] / (table[symbol + 1] - table[symbol]))",
            "bits += math.log(table[-1] / (table[symbol + 1] - table[symbol]))",
            "test_the_coder_is_exact_and_within_a_byte_on_awkward_messages",
        ),
        (
            "exponential family: the base measure left out",
            "logs = log_h + T @ theta",
            "logs = T @ theta",
            FAMILY,
        ),
        (
            "exponential family: the model's average not weighted",
            "return logs.logsumexp(0), logs.softmax(0) @ T",
            "return logs.logsumexp(0), T.mean(0)",
            FAMILY,
        ),
        (
            "network: the standard deviation for the variance",
            "(y - mean) ** 2 * (-v).exp())",
            "(y - mean) ** 2 * (-v / 2).exp())",
            NETWORK,
        ),
        (
            "network: the logarithm of the variance left out",
            "0.5 * (math.log(2 * math.pi) + v + (y - mean)",
            "0.5 * (math.log(2 * math.pi) + (y - mean)",
            NETWORK,
        ),
        (
            "comb: a strip of the wrong height",
            "(1 - rest) / w + rest, rest)",
            "1 / w + rest, rest)",
            COMB,
        ),
        (
            "comb: a strip at the edge",
            "(v - v.floor() - 0.5).abs() < w / 2",
            "(v - v.floor()).abs() < w / 2",
            COMB,
        ),
        (
            "directions: forward for reverse",
            "integrand = log_q.exp() * (log_q - log_p)",
            "integrand = log_p.exp() * (log_q - log_p)",
            ALPHA,
        ),
        (
            "directions: alpha with the wrong one",
            "mixed = (alpha * log_p + (1 - alpha) * log_q).exp()",
            "mixed = (alpha * log_p + (1 - alpha) * log_q)",
            ALPHA,
        ),
        (
            "directions: weights exchanged",
            "left = math.log(weight) - (GRID + distance / 2) ** 2 / 2",
            "left = math.log(weight) - (GRID - distance / 2) ** 2 / 2",
            "test_one_mode_costs_minus_the_log_of_its_weight",
        ),
    ),
    *changes(
        "04",
        LESSON,
        LESSON,
        (
            "maximum likelihood of a Poisson number: the mean, not less one",
            "abs(best - (lengths.double().mean() - 1))",
            "abs(best - lengths.double().mean())",
        ),
        (
            "the bill of a likelihood: the entropy left out",
            "(loss - divergence - stats.entropy(fraction)).abs()",
            "(loss - divergence).abs()",
        ),
        (
            "gradient of a fit: the model's average alone",
            "theta += fraction @ T - model",
            "theta += 0.5 * fraction @ T - model",
        ),
        (
            "posterior: the mode is the mean",
            "(mode, alpha - 1)",
            "(mode, alpha)",
        ),
        (
            "Fisher's information: the score not squared",
            "torch.trapezoid(density * score**2, t)",
            "torch.trapezoid(density * score, t)",
        ),
        (
            "spread of an estimate: the sandwich turned inside out",
            '\\"wrong family\\": 2 / 4**2}',
            '\\"wrong family\\": 4 / 2**2}',
        ),
        (
            "parameters over 2 N: over N",
            "gained, lost = 2 * 400 * kl(found, truth)",
            "gained, lost = 400 * kl(found, truth)",
        ),
    ),
]
