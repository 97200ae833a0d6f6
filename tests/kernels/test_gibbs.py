"""Draws of a layer against NumPy's Philox, the formula, and the frequencies that they must have."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from genlib.kernels import bernoulli, gibbs, gibbs_step
from genlib.kernels._dispatch import HAS_TRITON, INTERPRETED
from genlib.kernels.gibbs import bernoulli_reference, gibbs_step_reference, uniform_reference
from tests.kernels.tools import Largest, compiled
from tests.processes import passes_in_the_interpreter

SINGLE, DOUBLE = torch.float32, torch.float64
SHAPES = [(1, 1, 1), (5, 3, 19), (40, 30, 64), (3000, 10, 33)]
KEY = 2**62 + 12345


def problem(n, dims, units, *, dtype=SINGLE):
    generator = torch.Generator().manual_seed(n + dims + units)
    x = (torch.rand(n, dims, generator=generator) < 0.5).to(dtype)
    weight = torch.randn(dims, units, generator=generator, dtype=dtype)
    return x, weight, torch.randn(units, generator=generator, dtype=dtype)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0, "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
        (2**64 - 1, "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0"),
    ],
)
def test_the_published_numbers_of_the_generator(bits, expected):
    """Those that its authors give for a counter and key of zeros, and of ones."""
    words = gibbs._philox([np.full(1, bits, np.uint64)] * 4, [bits, bits])
    assert " ".join(f"{word[0]:016x}" for word in words) == expected


@pytest.mark.parametrize("step", [0, 1, 2**40])
def test_the_numbers_are_numpy_s(step):
    """Row by row; a row begins with a new block of eight."""
    before = ((step << 64) - 1) % 2**256
    stream = np.random.Generator(np.random.Philox(key=KEY, counter=before))
    expected = stream.random((7, 24), dtype=np.float32)[:, :19]
    np.testing.assert_array_equal(uniform_reference(7, 19, KEY, step).numpy(), expected)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_unit_is_on_where_its_number_is_below_its_probability(shape, dtype):
    x, weight, bias = problem(*shape, dtype=dtype)
    n, _, units = shape
    p = 1 / (1 + np.exp(-(0.7 * x.double().numpy() @ weight.double().numpy() + bias.numpy())))
    u = uniform_reference(n, units, KEY, 3).numpy()
    clear = np.abs(u - p) > 1e-6
    for draw in (gibbs_step, gibbs_step_reference):
        found = draw(x, weight, bias, KEY, 3, scale=0.7)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.numpy()[clear], (u < p)[clear])
    for draw in (bernoulli, bernoulli_reference):
        found = draw(0.7 * (x @ weight) + bias, KEY, 3).numpy()
        np.testing.assert_array_equal(found[clear], (u < p)[clear])


def test_blocks_and_threads_change_nothing(monkeypatch):
    x, weight, bias = problem(300, 11, 21, dtype=DOUBLE)
    expected, before = gibbs_step(x, weight, bias, KEY, 5), torch.get_num_threads()
    monkeypatch.setattr(gibbs, "_IN_CACHE", 1)  # sixteen rows each
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            assert torch.equal(gibbs_step(x, weight, bias, KEY, 5), expected)
            assert torch.equal(bernoulli(torch.addmm(bias, x, weight), KEY, 5), expected)
    finally:
        torch.set_num_threads(before)


def test_rows_do_not_depend_on_those_after_them():
    x, weight, bias = problem(40, 11, 21, dtype=DOUBLE)
    whole = gibbs_step(x, weight, bias, KEY, 5)
    assert torch.equal(gibbs_step(x[:7], weight, bias, KEY, 5), whole[:7])


@pytest.mark.parametrize("probability", [0.02, 0.3, 0.5, 0.97])
def test_frequencies(probability):
    """A z-test an entry, over keys, over steps and over rows; 1e-6 false alarms for each."""
    logit = float(np.log(probability / (1 - probability)))
    for draws in (
        [bernoulli(torch.full((1, 16), logit), key) for key in range(4000)],
        [bernoulli(torch.full((1, 16), logit), 1, step) for step in range(4000)],
        [bernoulli(torch.full((4000, 16), logit), 1)],
    ):
        mean = torch.cat(draws).double().mean(0)
        z = (mean - probability) / (probability * (1 - probability) / 4000) ** 0.5
        assert z.abs().max() < norm.isf(0.5e-6 / 16)


def test_neighbours_in_place_step_and_key_are_uncorrelated():
    """Correlations of 10,000 pairs, five tests; 1e-6 false alarms in all."""
    a = uniform_reference(100, 100, 7, 1).double().flatten()
    others = [
        uniform_reference(100, 100, 7, 2),
        uniform_reference(100, 100, 8, 1),
        uniform_reference(100, 100, 1, 7),
        *(uniform_reference(101, 101, 7, 1)[i:][:100, j:][:, :100] for i, j in ((0, 1), (1, 0))),
    ]
    for other in others:
        r = np.corrcoef(a.numpy(), other.double().flatten().numpy())[0, 1]
        assert abs(r) * 100 < norm.isf(0.5e-6 / len(others))


def test_a_transposed_weight_and_autocast_change_nothing():
    x, weight, bias = problem(20, 8, 12)
    expected = gibbs_step(x, weight, bias, KEY)
    assert torch.equal(gibbs_step(x, weight.T.contiguous().T, bias, KEY), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gibbs_step(x, weight, bias, KEY), expected)


def test_arguments_are_left_as_they_are():
    given = problem(20, 8, 12)
    copies = [part.clone() for part in given]
    logits = torch.addmm(given[2], given[0], given[1]).requires_grad_()
    copies.append(logits.clone())
    gibbs_step(*given, KEY)
    assert not bernoulli(logits, KEY).requires_grad
    assert all(map(torch.equal, copies, [*given, logits]))


def test_memory_is_that_of_the_answer(monkeypatch):
    monkeypatch.setattr(gibbs, "_IN_CACHE", 2**12)
    x, weight, bias = problem(4000, 8, 24)
    with Largest() as largest:
        gibbs_step(x, weight, bias, KEY)
    assert largest.entries == 4000 * 24


def test_opcheck():
    x, weight, bias = problem(7, 5, 9)
    torch.library.opcheck(torch.ops.genlib.gibbs_step.default, (x, weight, bias, KEY, 2, 0.5))
    torch.library.opcheck(torch.ops.genlib.bernoulli.default, (x, KEY, 2))


def test_compiles_without_a_graph_break():
    x, weight, bias = problem(7, 5, 9)

    def chain(x):
        hidden = gibbs_step(x, weight, bias, KEY, 0)
        return bernoulli(hidden @ weight.T, KEY, 1)

    compiled_chain = torch.compile(chain, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled_chain(x), chain(x))


def spoiled(**changes):
    x, weight, bias = problem(5, 3, 2)
    return {"x": x, "weight": weight, "bias": bias, "key": 1} | changes


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (spoiled(x=[[1.0]]), TypeError, r"x: expected a torch\.Tensor, got list"),
        (spoiled(x=torch.zeros(3)), ValueError, r"x: expected at least one row and one column"),
        (spoiled(x=torch.zeros(0, 3)), ValueError, "x: expected at least one row"),
        (spoiled(x=torch.zeros(5, 3).long()), TypeError, r"x: expected torch\.float32"),
        (spoiled(weight=torch.zeros(4, 2)), ValueError, r"weight: expected shape \(3, 2\)"),
        (spoiled(weight=torch.zeros(3)), ValueError, r"weight: expected shape \(3, 3\)"),
        (spoiled(bias=torch.zeros(3)), ValueError, r"bias: expected shape \(2,\)"),
        (spoiled(bias=torch.zeros(2).double()), TypeError, "bias: expected the dtype of x"),
        (spoiled(key=0.5), TypeError, "key: expected an integer, got 0.5"),
        (spoiled(key=-1), ValueError, r"key: expected an integer from 0 to 2\*\*63"),
        (spoiled(step=2**63), ValueError, r"step: expected an integer from 0 to 2\*\*63"),
        (spoiled(scale=float("nan")), ValueError, "scale: expected a finite number"),
    ],
)
def test_bad_input_is_refused_by_name(given, error, message):
    with pytest.raises(error, match=message):
        gibbs_step(**given)


def test_logits_are_refused_by_name():
    with pytest.raises(ValueError, match="logits: expected at least one row"):
        bernoulli(torch.zeros(3), 1)
    with pytest.raises(TypeError, match="step: expected an integer"):
        bernoulli(torch.zeros(3, 2), 1, 1.0)


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
def test_triton_agrees_in_its_interpreter():
    passes_in_the_interpreter("tests/kernels/test_gibbs_triton.py")


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
def test_triton_compiles_for_a_gpu_that_need_not_be_there(tmp_path, monkeypatch):
    types = {"key": "i64", "step": "i64", "scale": "fp32"}
    tile = gibbs.tile()
    warps = tile.pop("num_warps")
    compiled(gibbs._gibbs_kernel, tile, monkeypatch, tmp_path, types=types, warps=warps)
    tile = {"BLOCK_N": gibbs._ROWS, "BLOCK_H": gibbs._UNITS}
    types.pop("scale")
    compiled(gibbs._bernoulli_kernel, tile, monkeypatch, tmp_path, types=types)


def test_a_late_step_keeps_all_of_its_bits():
    logits = torch.zeros(3, 9)
    late = bernoulli(logits, KEY, 2**40)
    assert torch.equal(late, bernoulli_reference(logits, KEY, 2**40))
    assert not torch.equal(late, bernoulli(logits, KEY, 0))
