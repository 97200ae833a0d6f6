"""Lesson 16: machines with Gaussian units, unrolling, descent, errors, average precision."""

from tests.mutations.changes import changes

MUTATIONS = changes(
    "16",
    "lessons/16_deep_autoencoders/lesson.ipynb",
    "tests/lessons/test_deep_autoencoders.py",
    (
        "Gaussian means: a sigmoid",
        "return v @ W + c if gaussian else (v @ W + c).sigmoid()",
        "return (v @ W + c).sigmoid()",
        "test_hidden_means_are_those_of_the_energies",
    ),
    (
        "CD: Gaussian units not drawn",
        "h + torch.randn_like(h) if gaussian",
        "0 * h if gaussian",
        "test_a_machine_learns_the_gradient_of_cd_on_average",
    ),
    (
        "CD: the phases exchanged",
        "(v.mT @ h - v_end.mT @ h_end) / BATCH",
        "(v_end.mT @ h_end - v.mT @ h) / BATCH",
        "test_a_machine_learns_the_gradient_of_cd_on_average",
    ),
    (
        "CD: Gaussian machines at the full rate",
        "now = rate * (1 - step / steps) * (0.1 if gaussian else 1)",
        "now = rate * (1 - step / steps)",
        "test_a_machine_learns_the_gradient_of_cd_on_average",
    ),
    (
        "unrolling: the way down in the order of the way up",
        "for W, b, _ in reversed(machines):",
        "for W, b, _ in machines:",
        "test_an_unrolled_stack_is_one_pass_up_and_down",
    ),
    (
        "unrolling: hidden biases on the way up forgotten",
        "for W, _, c in machines for part in (W, c)]",
        "for W, _, c in machines for part in (W, 0 * c)]",
        "test_an_unrolled_stack_is_one_pass_up_and_down",
    ),
    (
        "run: the layer after the code is the code",
        "if number == len(layers) // 2:",
        "if number == len(layers) // 2 + 1:",
        "test_an_unrolled_stack_is_one_pass_up_and_down",
    ),
    (
        "cross-entropy: a mean over pixels",
        'logits, x, reduction=\\"none\\").sum(2).mean(1)',
        'logits, x, reduction=\\"none\\").mean(2).mean(1)',
        "test_the_error_is_a_sum_over_pixels_and_a_mean_over_rows",
    ),
    (
        "momentum of a half",
        "flat -= now * m.mul_(0.9).add_(grad)",
        "flat -= now * m.mul_(0.5).add_(grad)",
        "test_steps_are_those_of_torch_each_network_at_its_own_rate",
    ),
    (
        "Adam: the second moment not corrected",
        "size = (s / (1 - 0.99**step)).sqrt_().add_(1e-8)",
        "size = s.sqrt().add_(1e-8)",
        "test_steps_are_those_of_torch_each_network_at_its_own_rate",
    ),
    (
        "Adam: gradients not squared",
        "s.lerp_(grad.square(), 0.01)",
        "s.lerp_(grad.abs(), 0.01)",
        "test_steps_are_those_of_torch_each_network_at_its_own_rate",
    ),
    (
        "shallow autoencoders: the way down not reversed",
        "up, down = [*up, W, c], [V, b, *down]",
        "up, down = [*up, W, c], [*down, V, b]",
        "test_shallow_stacks_have_the_shapes_of_unrolled_machines",
    ),
    (
        "He's weights with Glorot's scale",
        '\\"He\\": math.sqrt(2 / n)}[kind]',
        '\\"He\\": glorot}[kind]',
        "test_random_weights_have_the_scales_they_are_named_after",
    ),
    (
        "scores: a last nonlinearity",
        "return torch.baddbmm(net[-1], x, net[-2])",
        "return unit(torch.baddbmm(net[-1], x, net[-2]))",
        "test_scores_are_those_of_a_network_without_a_last_sigmoid",
    ),
    (
        "average precision: over all ranks",
        "return (precision * relevant).sum(1) / relevant.sum(1)",
        "return (precision * relevant).mean(1)",
        "test_average_precision_is_a_mean_over_relevant_ranks",
    ),
    (
        "PCA of documents: not centred",
        "return lambda x: (x - middle) @ vectors",
        "return lambda x: x @ vectors",
        "test_linear_codes_are_those_of_scikit_learn",
    ),
    (
        "shuffled: only a copy",
        "order = torch.randperm(n) if part.shape[1] > 1 else torch.arange(n)",
        "order = torch.arange(n)",
        "test_shuffling_keeps_the_entries_of_each_matrix_and_moves_them",
    ),
)
