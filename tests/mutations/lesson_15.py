"""Lesson 15: belief networks, the bound of a stack, its readings, up–down, labels and dreams."""

from tests.mutations.changes import changes

_DBN = "genlib/models/boltzmann/dbn.py"
_TESTS = "tests/models/boltzmann/test_dbn.py"

MUTATIONS = [
    *changes(
        "15",
        "lessons/15_deep_belief_networks/lesson.ipynb",
        "tests/lessons/test_deep_belief_networks.py",
        (
            "belief network: the causes' biases forgotten",
            "return log_mass(h @ V.T + b, x).T + log_mass(a[None], h)",
            "return log_mass(h @ V.T + b, x).T + log_mass(0 * a[None], h)",
            "test_the_joint_of_a_belief_network_is_a_product_over_units",
        ),
        (
            "a layer's probability: not normalised",
            "return logits @ states.T - F.softplus(logits).sum(1, keepdim=True)",
            "return logits @ states.T - F.softplus(logits).mean(1, keepdim=True)",
            "test_the_joint_of_a_belief_network_is_a_product_over_units",
        ),
        (
            "total correlation: the sign",
            "return (entr(on) + entr(1 - on)).sum(-1) - entr(p).sum(-1)",
            "return entr(p).sum(-1) - (entr(on) + entr(1 - on)).sum(-1)",
            "test_total_correlation_is_the_divergence_from_the_product_of_the_marginals",
        ),
        (
            "bound: the entropy with a minus",
            "bound = (log_q.exp() * (log_joint - log_q)).sum(1)",
            "bound = (log_q.exp() * (log_joint + log_q)).sum(1)",
            "test_bound_and_log_p_are_the_sums_over_h_written_out",
        ),
        (
            "bound: the top's prior not normalised",
            "log_prior = (-net.top.free_energy(H)).log_softmax(0)",
            "log_prior = -net.top.free_energy(H)",
            "test_bound_and_log_p_are_the_sums_over_h_written_out",
        ),
        (
            "transposed machine: biases not swapped",
            ": machine.c, ",
            ": 0 * machine.c, ",
            "test_a_transposed_machine_on_top_leaves_the_first_as_it_was",
        ),
        (
            "free energy: the visible biases' sign",
            "return -v @ machine.b - F.softplus(field).sum(1)",
            "return v @ machine.b - F.softplus(field).sum(1)",
            "test_the_free_energy_sums_the_hidden_units_out_for_probabilities_too",
        ),
        (
            "coupling: a mean over states, not weighted",
            "return (mass * total_correlation(p / mass[..., None])).sum().item()",
            "return total_correlation(p / mass[..., None]).mean().item()",
            "test_couplings_are_means_over_what_is_given",
        ),
        (
            "greedy training: probabilities handed up",
            "x = torch.bernoulli(machine.hidden_probabilities(x).detach())",
            "x = machine.hidden_probabilities(x).detach().round()",
            "test_greedy_hands_samples_up",
        ),
        (
            "generation: the top's biases forgotten",
            "above = torch.bernoulli((h @ top.W + top.c).sigmoid())",
            "above = torch.bernoulli((h @ top.W).sigmoid())",
            "test_generated_rows_follow_the_network_that_the_machines_make",
        ),
        (
            "belief network of two layers: the top's biases forgotten",
            "pairs = log_mass(H @ top.W.T + top.b, H).T + log_mass(c[None], H)",
            "pairs = log_mass(H @ top.W.T + top.b, H).T + log_mass(0 * c[None], H)",
            "test_log_p_of_the_belief_network_is_the_sum_over_both_hidden_layers",
        ),
        (
            "up–down: the sleep phase's sign",
            "off_h.T @ dream / n",
            "-off_h.T @ dream / n",
            "test_up_down_has_the_gradients_of_its_three_phases",
        ),
        (
            "up–down: wake on the end of the chain",
            "off_x.T @ h / n",
            "off_x.T @ v / n",
            "test_up_down_has_the_gradients_of_its_three_phases",
        ),
        (
            "divergences: one for the other",
            "return (log_q.exp() * log_ratio).sum(), -(jumped * log_ratio).sum()",
            "return -(jumped * log_ratio).sum(), (log_q.exp() * log_ratio).sum()",
            "test_the_two_divergences_are_torchs",
        ),
        (
            "dream: the label let go",
            "v = torch.cat([h, clamped], 1)",
            "v = torch.cat([h, 0 * clamped], 1)",
            "test_a_dream_is_a_chain_with_its_label_held",
        ),
    ),
    *changes(
        "15",
        _DBN,
        _TESTS,
        (
            "DBN: the next machine's biases not swapped",
            "machine.b.copy_(below.c)",
            "machine.b.copy_(0 * below.c)",
            "test_with_transposed_weights_above_the_network_is_the_machine_and_training_raises_the_bound",
        ),
        (
            "DBN: the sleep phase's sign",
            "loss = loss - _log_mass(up(below), above).mean()",
            "loss = loss + _log_mass(up(below), above).mean()",
            "test_up_down_has_the_gradients_of_its_three_phases",
        ),
        (
            "DBN: the bound without the entropy of q",
            "log_w = log_w + _log_mass(down(above), below) - _log_mass(up(below), above)",
            "log_w = log_w + _log_mass(down(above), below)",
            "test_the_bound_is_the_sum_over_q_written_out",
        ),
    ),
]
