"""Lesson 14: energies, conditionals, phases, chains, likelihoods by enumeration, annealing."""

from tests.mutations.changes import changes

MUTATIONS = changes(
    "14",
    "lessons/14_restricted_boltzmann_machines/lesson.ipynb",
    "tests/lessons/test_restricted_boltzmann_machines.py",
    (
        "energy: every pair twice",
        "return -0.5 * (s @ W * s).sum(1) - s @ b",
        "return -(s @ W * s).sum(1) - s @ b",
        "test_the_energy_counts_each_pair_once",
    ),
    (
        "conditionals: the hidden bias left out",
        "return (x @ W + c).sigmoid()",
        "return (x @ W).sigmoid()",
        "test_conditionals_and_free_energies_are_sums_over_the_list",
    ),
    (
        "free energy: a mean over hidden units",
        "return -(x * b).sum(-1) - softplus(x @ W + c).sum(-1)",
        "return -(x * b).sum(-1) - softplus(x @ W + c).mean(-1)",
        "test_conditionals_and_free_energies_are_sums_over_the_list",
    ),
    (
        "phase: visible units weighted, hidden ones not",
        "return (images * p[:, None]).T @ h, p[None] @ images, p[None] @ h",
        "return (images * p[:, None]).T @ h, p[None] @ images, h.mean(0)[None]",
        "test_phases_are_the_gradient_by_autograd",
    ),
    (
        "Gibbs: hidden units always given the start",
        "        h = bernoulli(hidden_given(x, *machine))\\n",
        "        h = bernoulli(hidden_given(0 * x, *machine))\\n",
        "test_cd_is_unbiased_for_the_end_of_the_chain",
    ),
    (
        "statistics: hidden samples over the number of hidden units",
        "return x.mT @ h / x.shape[-2]",
        "return x.mT @ h / h.shape[-1]",
        "test_many_machines_at_once_are_each_their_own",
        "test_cd_is_unbiased_for_the_end_of_the_chain",
    ),
    (
        "CD: the sign of the phases",
        "return [plus - minus for plus, minus in zip(*phases, strict=True)]",
        "return [minus - plus for plus, minus in zip(*phases, strict=True)]",
        "test_cd_is_unbiased_for_the_end_of_the_chain",
    ),
    (
        "expected CD: one step whatever k is",
        "        end = end @ T",
        "        end = start @ T",
        "test_transitions_are_sums_over_hidden_states_and_leave_the_model",
    ),
    (
        "chances: the complement forgotten",
        "return (p * outcomes + (1 - p) * (1 - outcomes)).prod(2)",
        "return (p * outcomes + (1 - outcomes)).prod(2)",
        "test_transitions_are_sums_over_hidden_states_and_leave_the_model",
    ),
    (
        "reconstruction: the mean over pixels",
        "return (x - again).square().sum(-1).mean(-1)",
        "return (x - again).square().mean(-1).mean(-1)",
        "test_the_reconstruction_error_is_a_sum_over_pixels",
    ),
    (
        "hidden marginals: visible biases left out",
        "return (listed * c).sum(-1) + softplus(listed @ W.mT + b).sum(-1)",
        "return (listed * c).sum(-1) + softplus(listed @ W.mT).sum(-1)",
        "test_likelihoods_phases_and_samples_of_many_machines",
    ),
    (
        "the model's phase: hidden states equally likely",
        "return (x * p.mT).mT @ listed, p @ x, p @ listed",
        "return x.mT @ listed / len(listed), p @ x, p @ listed",
        "test_likelihoods_phases_and_samples_of_many_machines",
    ),
    (
        "samples: probabilities for samples",
        'h = listed[torch.multinomial(p, BATCH, replacement=True)]\\n",\n'
        '    "    return bernoulli(visible_given(h, *machine))',
        'h = listed[torch.multinomial(p, BATCH, replacement=True)]\\n",\n'
        '    "    return visible_given(h, *machine).round()',
        "test_likelihoods_phases_and_samples_of_many_machines",
    ),
    (
        "training: persistent chains begin at the data",
        'elif way == \\"pcd\\" and chains is not None:',
        'elif way == \\"pcd\\" and chains is None:',
        "test_persistent_chains_go_on_and_others_do_not",
    ),
    (
        "training: downhill",
        "part += rate * (1 - update / updates) * (plus - minus)",
        "part -= rate * (1 - update / updates) * (plus - minus)",
        "test_training_raises_the_likelihood",
    ),
    (
        "error: of the estimate, not of the exact gradient",
        "size, error = exact.norm(), (found - exact).norm()",
        "size, error = found.norm(), (found - exact).norm()",
        "test_norms_a_relative_error_and_a_cosine",
    ),
    (
        "crossing: the base throughout",
        "bias = (1 - beta) * base - 2 * beta",
        "bias = base",
        "test_how_seldom_a_chain_of_the_trap_gets_across",
    ),
    (
        "two modes: one term of Z alone",
        "log_z = math.log(math.exp(off) + math.exp(on + c))",
        "log_z = on + c",
        "test_the_machine_of_two_modes_has_these_two_terms",
    ),
    (
        "path: hidden biases at full size",
        "return beta * W, (1 - beta) * base + beta * b, beta * c",
        "return beta * W, (1 - beta) * base + beta * b, c",
        "test_annealing_is_unbiased_whatever_the_number_of_temperatures",
    ),
    (
        "annealing: the mean of the logarithms",
        "ratio = log_w.max() + w.mean().log()",
        "ratio = log_w.mean()",
        "test_one_temperature_is_importance_sampling_with_its_error_and_size",
    ),
    (
        "annealing: weights gathered after the step",
        "x = gibbs(x, there, 1)",
        "x = gibbs(x, here, 1)",
        "test_annealing_is_unbiased_whatever_the_number_of_temperatures",
    ),
    (
        "annealing: backwards with the forward sign",
        "log_z = log_z0 + (ratio if forward else -ratio)",
        "log_z = log_z0 + ratio",
        "test_annealing_is_unbiased_whatever_the_number_of_temperatures",
    ),
)
