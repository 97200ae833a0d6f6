"""Lesson 13: reconstruction, sparsity, noise, contraction, Taylor's terms, scores, stacks."""

from tests.mutations.changes import changes

_VARIANTS = "genlib/models/autoencoders/variants.py"
_BASE = "genlib/models/autoencoders/autoencoder.py"
_STACKED = "genlib/models/autoencoders/stacked.py"
_MODELS = "tests/models/test_autoencoders.py"

MUTATIONS = [
    *changes(
        "13",
        "lessons/13_autoencoders/lesson.ipynb",
        "tests/lessons/test_autoencoders.py",
        (
            "reconstruction error: a mean over values",
            "return (x - self(x)).square().sum(1).mean()",
            "return (x - self(x)).square().mean()",
            "test_the_error_is_a_mean_over_rows_of_sums_over_values_of_g_after_f",
        ),
        (
            "divergence between coins: turned round",
            "return (rho * torch.log(rho / mean)",
            "return (mean * torch.log(mean / rho)",
            "test_the_penalty_is_torchs_divergence_of_the_mean",
        ),
        (
            "divergence between coins: only the coin's head",
            "+ (1 - rho) * torch.log((1 - rho) / (1 - mean)))",
            "+ 0 * torch.log((1 - rho) / (1 - mean)))",
            "test_the_penalty_is_torchs_divergence_of_the_mean",
        ),
        (
            "sparsity: of the rows",
            "return divergence(torch.tensor(rho), z.mean(0)).sum()",
            "return divergence(torch.tensor(rho), z).mean(0).sum()",
            "test_units_that_are_on_for_a_fraction_of_rows_cost_the_batch_nothing",
        ),
        (
            "masks: the fraction that is kept",
            "return x * (torch.rand_like(x) >= level)",
            "return x * (torch.rand_like(x) < level)",
            "test_masks_set_a_fraction_to_zero_and_noise_has_its_deviation",
        ),
        (
            "noise: the variance for the deviation",
            "return x + sigma * torch.randn_like(x)",
            "return x + sigma**2 * torch.randn_like(x)",
            "test_masks_set_a_fraction_to_zero_and_noise_has_its_deviation",
        ),
        (
            "denoising: compared with the corrupted rows",
            "return (x - model(corrupted)).square().sum(1).mean()",
            "return (corrupted - model(corrupted)).square().sum(1).mean()",
            "test_the_denoising_loss_compares_with_the_clean_rows",
        ),
        (
            "contraction: the slope not squared",
            "return (z * (1 - z)).square() @ W.square().sum(1)",
            "return (z * (1 - z)) @ W.square().sum(1)",
            "test_the_contraction_of_one_layer_is_autograds",
        ),
        (
            "contraction: the slope of tanh",
            "return (z * (1 - z)).square() @ W.square().sum(1)",
            "return (1 - z**2).square() @ W.square().sum(1)",
            "test_the_contraction_of_one_layer_is_autograds",
        ),
        (
            "Hutchinson: one sign for all",
            "v = torch.randn_like(z).sign()",
            "v = torch.ones_like(z)",
            "test_the_estimate_is_unbiased_for_a_deep_encoder_and_made_of_signs",
        ),
        (
            "Taylor: the Laplacian's sign",
            "hessian = hessian + rest[:, i] * sum(second)",
            "hessian = hessian - rest[:, i] * sum(second)",
            "test_the_parts_of_second_order_by_hand",
        ),
        (
            "Taylor: every second derivative twice",
            "hessian = hessian + rest[:, i] * sum(second)",
            "hessian = hessian + 2 * rest[:, i] * sum(second)",
            "test_taylors_formula_leaves_the_fourth_order",
        ),
        (
            "quadrature: the mass not normalised",
            ".prod(1) / (2 * math.pi)",
            ".prod(1) / math.pi",
            "test_the_error_in_noise_is_that_of_a_linear_map",
        ),
        (
            "noised density: the deviations added, not the variances",
            "variance = WIDTH**2 + sigma**2",
            "variance = (WIDTH + sigma) ** 2",
            "test_the_density_is_torchs_mixture_and_the_score_its_gradient",
        ),
        (
            "noised density: the constant of one dimension",
            "5 * 2 * math.pi * variance)",
            "5 * (2 * math.pi * variance) ** 0.5)",
            "test_the_density_is_torchs_mixture_and_the_score_its_gradient",
        ),
        (
            "stack: a decoder that is linear between its layers",
            "output_activation=unit if i else",
            "output_activation=unit if i > 9 else",
            "test_layers_fit_on_each_other_and_begin_as_the_text_says",
        ),
        (
            "stack: old weights under the name of He's",
            "for part in found[-1].parameters() if he else ():",
            "for part in found[-1].parameters() if he and False else ():",
            "test_layers_fit_on_each_other_and_begin_as_the_text_says",
        ),
        (
            "weight decay: the norm, not its square",
            "penalty = self.encoder[1].weight.square().sum()",
            "penalty = self.encoder[1].weight.norm()",
            "test_weight_decay_adds_the_squared_weights_of_the_encoder",
        ),
        (
            "ridge probe: the ridge does not grow with the rows",
            "s + len(a) * RIDGES[:, None]",
            "s + RIDGES[:, None]",
            "test_a_ridge_probe_is_the_normal_equations",
        ),
    ),
    *changes(
        "13",
        _BASE,
        _MODELS,
        (
            "genlib's error: a mean over values",
            "return each.flatten(1).sum(1)",
            "return each.flatten(1).mean(1)",
            "TestPlain",
        ),
        (
            "genlib's reconstruction: the decoder's sigmoid left out",
            'return out if self.error == "squared" else out.sigmoid()',
            "return out",
            "TestPlain",
        ),
    ),
    *changes(
        "13",
        _VARIANTS,
        _MODELS,
        (
            "genlib's sparsity: a mean over units",
            "return (on + off).sum()",
            "return (on + off).mean()",
            "TestSparse",
        ),
        (
            "genlib's sparsity: of the rows",
            "mean, rho = z.mean(0), self.target",
            "mean, rho = z, self.target",
            "TestSparse",
        ),
        (
            "genlib's masks: the fraction that is kept",
            "(uniform(x.shape, x, generator) >= self.level)",
            "(uniform(x.shape, x, generator) < self.level)",
            "TestDenoising",
        ),
        (
            "genlib's denoiser: compared with the corrupted rows",
            "        return self._errors(self._corrupted(x, None), x).mean()",
            "        x = self._corrupted(x, None)\n        return self._errors(x, x).mean()",
            "TestDenoising",
        ),
        (
            "genlib's validation noise: another each time",
            "fixed = torch.Generator().manual_seed(_VALIDATION_SEED)",
            "fixed = None",
            "TestDenoising",
        ),
        (
            "genlib's contraction: the slope of tanh for a sigmoid",
            "slope = z * (1 - z) if kinds[-1] is nn.Sigmoid else 1 - z.square()",
            "slope = 1 - z.square()",
            "TestContractive",
        ),
        (
            "genlib's contraction: columns for rows",
            "self.encoder[1].weight.square().sum(1)",
            "self.encoder[1].weight.square().sum(1).flip(0)",
            "TestContractive",
        ),
        (
            "genlib's contraction: not weighed",
            "+ self.weight * penalty.mean()",
            "+ penalty.mean()",
            "TestContractive",
        ),
        (
            "genlib's estimate: one sign for all",
            "1 - 2 * (uniform(z.shape, z, generator) < 0.5).to(z)",
            "torch.ones_like(z)",
            "TestContractive",
        ),
    ),
    *changes(
        "13",
        _STACKED,
        _MODELS,
        (
            "stack: decoders in the order of the encoders",
            "for layer in reversed(others):",
            "for layer in others:",
            "TestStacked",
        ),
        (
            "stack: layers trained on the rows, not on codes",
            "x, valid = (None if rows is None else _codes(layer, rows) for rows in (x, valid))",
            "x = _codes(layer, x)",
            "TestStacked",
        ),
    ),
]
