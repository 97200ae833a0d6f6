"""Lesson 04: the divergence, the coder, likelihood and its errors, bits per dimension, priors."""

from tests.mutations.changes import changes

LESSON = "lessons/04_maximum_likelihood/lesson.ipynb"
TESTS = "tests/lessons/test_maximum_likelihood.py"
INTERVAL = "test_the_code_is_a_number_in_the_messages_interval"
CELLS = "test_dequantised_scores_are_bounds_and_lose_the_divergence_within_the_cells"

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
            "test_zeros_cost_nothing_or_everything_and_the_reason_is_said",
        ),
        (
            "KL of Gaussians: not halved",
            "return 0.5 * (trace + gap @ inverse @ gap",
            "return (trace + gap @ inverse @ gap",
            "test_the_divergence_of_gaussians_is_torchs_and_the_quadrature",
        ),
        (
            "KL of Gaussians: d left out",
            "gap @ inverse @ gap - len(gap) + logdet",
            "gap @ inverse @ gap + logdet",
            "test_the_divergence_of_gaussians_is_torchs_and_the_quadrature",
        ),
        (
            "KL of Gaussians: determinants exchanged",
            "torch.logdet(covariance2) - torch.logdet(covariance1)",
            "torch.logdet(covariance1) - torch.logdet(covariance2)",
            "test_the_divergence_of_gaussians_is_torchs_and_the_quadrature",
        ),
        (
            "KL of Gaussians: the first precision",
            "torch.linalg.inv(covariance2), mean1 - mean2",
            "torch.linalg.inv(covariance1), mean1 - mean2",
            "test_the_divergence_of_gaussians_is_torchs_and_the_quadrature",
        ),
        (
            "KL of Gaussians: the means' distance left out",
            "(trace + gap @ inverse @ gap - len(gap)",
            "(trace - len(gap)",
            "test_the_divergence_of_gaussians_is_torchs_and_the_quadrature",
        ),
        (
            "coder: the interval from the top of the piece",
            "carried(low + step * start, code)",
            "carried(low + step * end, code)",
            INTERVAL,
        ),
        (
            "coder: a width of one step",
            "code), step * (end - start)\\n",
            "code), step\\n",
            INTERVAL,
        ),
        (
            "coder: a carry that is lost",
            "        code[place] += 1\\n",
            "        code[place] += 0\\n",
            "test_the_coder_is_exact_and_within_a_byte_on_awkward_messages",
        ),
        (
            "decoder: the piece before, at an edge",
            "bisect_right(table, value // step) - 1",
            "bisect_right(table, value // step - 1) - 1",
            "test_the_coder_is_exact_and_within_a_byte_on_awkward_messages",
        ),
        (
            "ideal length: nats, not bits",
            "bits += math.log2(table[-1] / (end - start))",
            "bits += math.log(table[-1] / (end - start))",
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
            "return torch.nn.functional.pad(sums, (1, 0)).tolist()",
            "return torch.nn.functional.pad(sums.roll(1, 0), (1, 0)).tolist()",
            "test_tables_hold_the_smoothed_counts_of_each_context",
        ),
        (
            "adaptive counts: the symbol before",
            "table[symbol + 1 :] = [total + gain for total in table[symbol + 1 :]]",
            "table[symbol:] = [total + gain for total in table[symbol:]]",
            "test_a_model_that_learns_on_the_way_is_followed_by_the_decoder",
        ),
        (
            "smoothed counts: alpha once instead of S times",
            "(context + alpha * states)).log()",
            "(context + alpha)).log()",
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
            "spikes: widths not normalised",
            "constant = math.log(sigma * math.sqrt(2 * math.pi))",
            "constant = math.log(math.sqrt(2 * math.pi))",
            CELLS,
        ),
        (
            "dequantised score: the logarithm outside",
            "dequantised = inside @ WEIGHTS",
            "dequantised = (inside.exp() @ WEIGHTS).log()",
            CELLS,
        ),
        (
            "bare score: at the edge of the cell",
            "bare = spikes(levels + 0.5, weights, sigma)",
            "bare = spikes(levels, weights, sigma)",
            CELLS,
        ),
        (
            "exact score: the density's cells half a level off",
            "(edges[:, None] - levels - 0.5) / sigma",
            "(edges[:, None] - levels) / sigma",
            CELLS,
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
            "directions: divergence averaged over the second argument",
            "return torch.trapezoid(log_p.exp() * (log_p - log_q), GRID)",
            "return torch.trapezoid(log_q.exp() * (log_p - log_q), GRID)",
            "test_the_forward_fit_matches_the_moments",
        ),
        (
            "directions: reverse for forward",
            'if direction == \\"forward\\" else (log_q, target)',
            'if direction == \\"reverse\\" else (log_q, target)',
            "test_the_forward_fit_matches_the_moments",
        ),
        (
            "mixture on the grid: weights left out",
            "torch.logsumexp(pieces + weights.log()[:, None], 0)",
            "torch.logsumexp(pieces, 0)",
            "test_the_forward_fit_matches_the_moments",
        ),
        (
            "test of a variance: degrees of freedom",
            "law = stats.chi2(len(values) - 1)",
            "law = stats.chi2(2 * len(values))",
            "test_the_test_of_a_variance_alarms_as_often_as_it_says",
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
            "posterior: the mode is the mean",
            "add, less = a / (a + b), (a - 1) / (a + b - 2)",
            "add, less = a / (a + b), a / (a + b)",
        ),
        (
            "posterior: odds without their factor",
            "lambda t: -posterior(t) * t * (1 - t)",
            "lambda t: -posterior(t)",
        ),
        (
            "Fisher's information: the score not squared",
            "torch.trapezoid(density * score**2, nodes)",
            "torch.trapezoid(density * score, nodes)",
        ),
        (
            "spread of an estimate: the sandwich turned inside out",
            "naive, sandwich = 1 / 4, 2 / 4**2",
            "naive, sandwich = 1 / 4, 4 / 2**2",
        ),
        (
            "parameters over 2 N: over N",
            "flattery, cost = 2 * n * kl(found, truths)",
            "flattery, cost = n * kl(found, truths)",
        ),
        (
            "reverse fit by samples: pieces not weighted",
            "((log_q - log_p(x)) * logits.softmax(0)).sum(1)",
            "(log_p(x) * logits.softmax(0)).sum(1)",
        ),
    ),
]
