"""Lesson 12: codes, the searches for them, dictionaries and denoising."""

from tests.mutations.changes import changes

LESSON = "lessons/12_sparse_coding/lesson.ipynb"
TESTS = "tests/lessons/test_sparse_coding.py"
MAJORISER = "test_the_majoriser_touches_lies_above_and_is_minimised_by_ista"
SEARCHES = "test_ista_and_fista_are_their_recursions"
GAP = "test_the_duality_gap_is_primal_less_dual"
OMP = "test_matching_pursuit_is_scikit_learns"
STEPS = "test_dictionary_steps_minimise_what_they_say"
WAVELETS = "test_wavelets_are_orthogonal_and_blind_to_straight_lines"
KERNEL = "genlib/kernels/ista"
KERNEL_TESTS = "tests/kernels/test_ista.py"
MODEL_TESTS = "tests/models/test_sparse_coding.py"

MUTATIONS = [
    *changes(
        "12",
        LESSON,
        TESTS,
        (
            "soft threshold: the sign lost",
            "return u.sign() * (u.abs() - t).clamp_min(0)",
            "return (u.abs() - t).clamp_min(0)",
            "test_the_soft_threshold_is_the_minimum_in_one_dimension",
        ),
        (
            "one dimension: the square not halved",
            "z[(0.5 * (u[:, None] - z) ** 2 + lam * rho(z)).argmin(1)]",
            "z[((u[:, None] - z) ** 2 + lam * rho(z)).argmin(1)]",
            "test_the_soft_threshold_is_the_minimum_in_one_dimension",
        ),
        (
            "objective: the penalty subtracted, as in the document",
            "return 0.5 * (x - z @ A).square().sum(1) + lam",
            "return 0.5 * (x - z @ A).square().sum(1) - lam",
            "test_the_objective_is_its_formula",
        ),
        (
            "majoriser: the slope's sign",
            "slope = -(x - z0 @ A) @ A.T",
            "slope = (x - z0 @ A) @ A.T",
            MAJORISER,
        ),
        (
            "majoriser: half of the curvature",
            "square = 0.5 * L * (z - z0)",
            "square = 0.25 * L * (z - z0)",
            MAJORISER,
        ),
        (
            "ISTA: the threshold not divided by L",
            "(x - z @ A) @ A.T / L, lam / L)",
            "(x - z @ A) @ A.T / L, lam)",
            SEARCHES,
        ),
        (
            "FISTA: momentum from the new t",
            "(t - 1) / later * (new - z)",
            "(later - 1) / later * (new - z)",
            SEARCHES,
        ),
        (
            "duality gap: a factor above one",
            "(lam / (r @ A.T).abs().amax(1)).clamp_max(1)[:, None]",
            "(lam / (r @ A.T).abs().amax(1))[:, None]",
            GAP,
        ),
        (
            "duality gap: the whole residual",
            "0.5 * (x - s * r).square()",
            "0.5 * (x - r).square()",
            GAP,
        ),
        (
            "matching pursuit: the sign of a match",
            "match = ((x - z @ A) @ A.T).abs()",
            "match = ((x - z @ A) @ A.T)",
            OMP,
        ),
        (
            "matching pursuit with a stop: the squares summed, not averaged",
            "more = r.square().mean(1) > (0.1 * c) ** 2",
            "more = r.square().sum(1) > (0.1 * c) ** 2",
            "test_the_pursuit_with_a_stop_is_scikit_learns_and_stops_as_soon_as_it_may",
        ),
        (
            "radius: the centre of mass forgotten",
            "line @ place**2 - (line @ place) ** 2",
            "line @ place**2",
            "test_the_shape_of_gratings_and_points",
        ),
        (
            "ridge: divided by two",
            "S + eta * torch.eye(len(S)), B)",
            "S + eta / 2 * torch.eye(len(S)), B)",
            STEPS,
        ),
        (
            "ball: a sphere",
            "A[k] = b / b.norm().clamp_min(1)",
            "A[k] = b / b.norm()",
            STEPS,
        ),
        (
            "ball: not divided by the curvature",
            "(B[k] - S[k] @ A) / S[k, k]",
            "(B[k] - S[k] @ A)",
            STEPS,
        ),
        (
            "wavelets: no alternating sign",
            "taps.flip(0) * torch.tensor([1, -1, 1, -1])",
            "taps.flip(0)",
            WAVELETS,
        ),
        (
            "selectivity: angles not doubled",
            "torch.exp(2j * torch.atan2",
            "torch.exp(1j * torch.atan2",
            "test_the_shape_of_gratings_and_points",
        ),
        (
            "PSNR: the natural logarithm",
            "return -10 * (a - b).square().mean().log10().item()",
            "return -10 * (a - b).square().mean().log().item()",
            "test_small_measures",
        ),
    ),
    *changes(
        "12",
        f"{KERNEL}/_blocks.py",
        KERNEL_TESTS,
        (
            "kernel: the restart where momentum points downhill",
            "uphill = torch.linalg.vecdot(back, change)[:, None] > 0",
            "uphill = torch.linalg.vecdot(back, change)[:, None] < 0",
            "test_iterates_are_those_of_loops",
        ),
        (
            "kernel: the gap without its square",
            "return 0.5 * (1 - s).square() * residual.square().sum(1) + linear",
            "return linear",
            "test_the_gap_is_that_of_primal_and_dual",
        ),
    ),
    *changes(
        "12",
        f"{KERNEL}/active.py",
        KERNEL_TESTS,
        (
            "active set: the sign of the atom that enters",
            "rows.sign[enters, place] = rows.c[enters, atom].sign()",
            "rows.sign[enters, place] = -rows.c[enters, atom].sign()",
            "test_the_objective_is_scikit_learns",
        ),
        (
            "active set: the penalty's slope added",
            "slope = (rows.c.gather(1, rows.atom) - sparsity * rows.sign) * on",
            "slope = (rows.c.gather(1, rows.atom) + sparsity * rows.sign) * on",
            "test_codes_meet_the_conditions_of_a_minimum",
        ),
    ),
    *changes(
        "12",
        "genlib/models/sparse_coding/penalties.py",
        MODEL_TESTS,
        (
            "exponential penalty: its weight that of the log penalty",
            "lambda z: (-z.square()).exp())",
            "lambda z: 1 / (1 + z.square()))",
            "TestCodes::test_codes_of_a_smooth_penalty_are_stationary_and_not_sparse",
        ),
    ),
    *changes(
        "12",
        "genlib/models/sparse_coding/learning.py",
        MODEL_TESTS,
        (
            "dictionary step: a sphere",
            "atoms[k] = best / best.norm().clamp_min(1)",
            "atoms[k] = best / best.norm()",
            "TestDictionaryStep",
        ),
    ),
    *changes(
        "12",
        "genlib/models/ica.py",
        "tests/models/test_ica.py",
        (
            "ICA: the determinant forgotten",
            "return log_p.sum(1) + torch.linalg.slogdet(self.unmixing).logabsdet",
            "return log_p.sum(1)",
            "TestDensity::test_it_is_scipy_s",
        ),
        (
            "ICA: no curvature in the fixed point",
            "white.T @ s / len(white) - rotation * curvature",
            "white.T @ s / len(white)",
            "test_planted_sources_are_found_as_scikit_learn_finds_them",
        ),
    ),
]
