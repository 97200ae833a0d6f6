"""NADE against its definition, enumeration, and what orderless training estimates."""

import math

import pytest
import torch
from scipy import stats

import genlib as gl
from genlib.models.autoregressive import NADE, NADEEnsemble
from tests.models.autoregressive.checks import ORDER, log_prob_from_conditionals
from tests.parameters import scattered

KINDS = {
    "plain": lambda: NADE(9, 5),
    "permuted": lambda: NADE(9, 5, ORDER),
    "orderless": lambda: NADE(9, 5, ORDER, orderless=True),
}
FALSE_ALARM = 1e-6


@pytest.fixture(params=KINDS)
def model(request):
    return scattered(KINDS[request.param](), seed=1)


@pytest.mark.covers("A02")
def test_density_and_samples(model):
    gl.verify.causal(model)
    gl.verify.normalised(model)
    gl.verify.samples_match(model)


@pytest.mark.covers("A02")
def test_the_running_sum_is_the_definition(model):
    """h_i = σ(c + Σ_{j<i} x_j W_j), every sum from the start, in float64."""
    x = model.sample(30)
    w, v, b, c = (getattr(model, name).detach().double() for name in "wvbc")
    m = torch.zeros_like(w) if model.m is None else model.m.detach().double()
    expected = torch.empty(30, 9, dtype=torch.float64)
    for place, i in enumerate(model.order):
        before = model.order[:place]
        a = c + x[:, before].double() @ w[before] + m[before].sum(0)
        expected[:, i] = b[i] + a.sigmoid() @ v[i]
    torch.testing.assert_close(
        model.conditionals(x).detach().double(), expected, rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(
        model.log_prob(x).double(), log_prob_from_conditionals(model, x), rtol=1e-5, atol=1e-5
    )


@pytest.mark.covers("A02")
@pytest.mark.parametrize(("dim", "hidden"), [(9, 5), (784, 500)])
def test_it_has_order_n_d_parameters(dim, hidden):
    assert NADE(dim, hidden).free_parameters == 2 * dim * hidden + dim + hidden
    orderless = NADE(dim, hidden, orderless=True)
    assert orderless.free_parameters == 3 * dim * hidden + dim + hidden


def test_the_same_numbers_draw_the_same_rows_as_full_passes(model):
    u = torch.rand(300, 9, generator=torch.Generator().manual_seed(7))
    x = torch.zeros(300, 9)
    for i in model.order:
        x[:, i] = (u[:, i] < model.conditionals(x)[:, i].sigmoid()).float()
    drawn = model.sample(300, generator=torch.Generator().manual_seed(7))
    assert torch.equal(drawn, x)


def test_codes_do_not_depend_on_the_order_and_complete_the_sum(model):
    x = model.sample(20)
    a = model.c + x @ model.w + (0 if model.m is None else model.m.sum(0))
    torch.testing.assert_close(model.encode(x), a.sigmoid())


@pytest.mark.covers("A02")
def test_it_learns_what_an_fvsbn_cannot():
    """Parity of four coins: no linear rule sees it; its entropy is 3 log 2."""
    gl.seed(0)
    x = gl.binary_events(4)
    even = x[x.sum(1) % 2 == 0].repeat(16, 1)
    losses = {}
    for name in ("FVSBN", "NADE"):
        gl.seed(1)
        model = gl.models.autoregressive.FVSBN(4) if name == "FVSBN" else NADE(4, 12)
        model.fit(even, epochs=300, batch_size=128, lr=0.03)
        losses[name] = -model.log_prob(even).mean().item()
    assert losses["FVSBN"] > 4 * math.log(2) - 0.02
    assert losses["NADE"] == pytest.approx(3 * math.log(2), abs=0.02)


# ------------------------------------------------------------------------------ all orders


def mean_over_orders(model, x):
    """Mean over all orders of −log p(x), from all sets of given values."""
    dim = x.shape[1]
    w, v, b, c, m = (getattr(model, name).detach() for name in ("w", "v", "b", "c", "m"))
    total = torch.zeros(len(x))
    for known in gl.binary_events(dim):
        d = int(known.sum())
        if d == dim:
            continue
        logits = (c + (known * x) @ w + known @ m).sigmoid() @ v.T + b
        terms = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
        # A set of d values comes first in d! (dim − d)! orders; the next value is one of dim − d.
        share = math.factorial(d) * math.factorial(dim - d - 1) / math.factorial(dim)
        total += share * (terms * (1 - known)).sum(1)
    return total


@pytest.mark.covers("A02")
def test_the_orderless_loss_is_an_unbiased_estimate_of_the_mean_over_all_orders():
    """A z-test of its mean, at a false-alarm rate of 1e-6."""
    model = scattered(NADE(5, 4, orderless=True), seed=2)
    x = model.sample(3)
    gl.seed(0)
    draws = torch.stack([model.loss(x.repeat(200, 1)).detach() for _ in range(400)]).double()
    expected = mean_over_orders(model, x).mean().item()
    z = (draws.mean().item() - expected) / (draws.std().item() / math.sqrt(len(draws)))
    assert abs(z) < stats.norm.isf(FALSE_ALARM / 2)
    assert draws.std() / math.sqrt(len(draws)) < 0.01 * expected


@pytest.mark.covers("A02")
def test_orderless_training_hides_sets_of_every_size_equally_often():
    """Where one value costs log 2 and all others nothing, the loss tells how many were given."""
    dim, draws = 4, 2000
    model = NADE(dim, 2, orderless=True)
    with torch.no_grad():
        model.v.zero_()
        model.b.copy_(torch.tensor([0.0, 80, 80, 80]))
    gl.seed(0)
    x = torch.ones(1, dim)
    weight = torch.stack([model.loss(x).detach() for _ in range(draws)]) / math.log(2)
    # n / (n - k) where it is hidden: in a part (n - k) / n of the sets of size k
    counts = [(weight - dim / (dim - k)).abs().lt(1e-4).sum().item() for k in range(dim)]
    counts.append((weight.abs() < 1e-4).sum().item())
    p = [(dim - k) / dim**2 for k in range(dim)]
    expected = [draws * part for part in (*p, 1 - sum(p))]
    assert sum(counts) == draws
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM


@pytest.mark.covers("A02")
def test_orderless_validation_draws_nothing_and_is_the_loss_in_the_model_s_order():
    model = scattered(NADE(5, 4, order=[3, 0, 4, 1, 2], orderless=True), seed=2)
    x = model.sample(6)
    expected = -model.log_prob(x).mean()
    torch.testing.assert_close(model.validation_loss(x), expected)
    torch.testing.assert_close(model.validation_loss(x), model.validation_loss(x), rtol=0, atol=0)


def test_the_mean_over_orders_is_that_of_the_densities_in_every_order():
    """The weights of the sets in `mean_over_orders`, and the masks behind `ensemble`."""
    import itertools

    model = scattered(NADE(4, 3, orderless=True), seed=2)
    x = gl.binary_events(4)
    orders = list(itertools.permutations(range(4)))
    each = torch.stack([model.ensemble([order]).log_prob(x) for order in orders])
    torch.testing.assert_close(-each.mean(0), mean_over_orders(model, x), rtol=1e-4, atol=1e-4)


@pytest.mark.covers("A02")
def test_an_ensemble_averages_probabilities():
    model = scattered(NADE(9, 5, orderless=True), seed=2)
    orders = [torch.arange(9), torch.tensor(ORDER), torch.arange(9).flip(0)]
    mixture = model.ensemble(orders)
    gl.verify.normalised(mixture)
    gl.verify.samples_match(mixture)
    x = gl.binary_events(9)
    each = torch.stack([model.ensemble([order]).log_prob(x) for order in orders])
    torch.testing.assert_close(mixture.log_prob(x).exp(), each.exp().mean(0))
    assert (mixture.log_prob(x) > each.mean(0) - 1e-5).all()
    torch.testing.assert_close(mixture.encode(x), model.encode(x))


def test_an_ensemble_of_the_own_order_is_the_model():
    model = scattered(NADE(9, 5, ORDER, orderless=True), seed=2)
    x = model.sample(40)
    torch.testing.assert_close(model.ensemble([model.order]).log_prob(x), model.log_prob(x))


def test_an_ensemble_shares_the_weights_and_is_saved_with_its_orders(tmp_path):
    model = scattered(NADE(9, 5, orderless=True), seed=2)
    mixture = model.ensemble(torch.stack([torch.arange(9), torch.tensor(ORDER)]))
    assert mixture.nade is model
    mixture.save(tmp_path / "mixture.safetensors")
    again = gl.load(tmp_path / "mixture.safetensors")
    x = model.sample(10)
    assert torch.equal(again.log_prob(x), mixture.log_prob(x))


@pytest.mark.covers("A02")
def test_orderless_training_gains_in_every_order():
    """A ring of equal pairs: whichever value comes first, the model knows its partner."""
    gl.seed(0)
    half = (torch.rand(512, 4) < 0.5).float()
    x = torch.cat([half, half], 1)
    model = NADE(8, 32, orderless=True)
    model.fit(x, epochs=60, batch_size=64, lr=0.02)
    for order in (torch.arange(8), torch.arange(8).flip(0), torch.tensor([4, 0, 1, 5, 2, 3, 7, 6])):
        loss = -model.ensemble([order]).log_prob(x).mean().item()
        assert loss < 4 * math.log(2) + 0.3  # untrained: 8 log 2


def test_an_ensemble_of_a_model_of_one_order_is_refused():
    with pytest.raises(ValueError, match="nade: the weights are trained for one order"):
        NADE(4, 3).ensemble([[0, 1, 2, 3]])


@pytest.mark.parametrize(
    ("orders", "message"),
    [([], "orders: expected at least one permutation"), ([[0, 0, 1]], "order: expected a permut")],
)
def test_bad_orders_are_refused(orders, message):
    with pytest.raises(ValueError, match=message):
        NADEEnsemble(NADE(3, 2, orderless=True), orders)


def test_bad_sizes_and_grey_pixels_are_refused():
    with pytest.raises(ValueError, match="hidden: expected at least 1, got 0"):
        NADE(4, 0)
    with pytest.raises(ValueError, match=r"values in \{0, 1\}, got 0\.5"):
        NADE(4, 2).log_prob(torch.full((1, 4), 0.5))
    with pytest.raises(ValueError, match=r"expected shape \(N, 784\), got \(2, 1, 28, 28\)"):
        NADE().log_prob(torch.zeros(2, 1, 28, 28))
