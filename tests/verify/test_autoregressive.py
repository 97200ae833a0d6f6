"""`causal` passes what is causal, and finds every leak."""

import pytest
import torch
from torch import nn
from torch.distributions import constraints

import genlib as gl
from genlib.core.discrete import Levels, States
from genlib.verify import VerificationError
from tests.core.toys import TrainedGaussian
from tests.verify.toys import DEVICE, Autoregressive


@pytest.mark.parametrize("order", [None, [3, 0, 5, 1, 2, 4]])
def test_passes_a_causal_model(order):
    gl.verify.causal(Autoregressive(order=order))


@pytest.mark.parametrize(("output", "given"), [(1, 4), (0, 5), (2, 3)])
def test_finds_every_leak_from_the_future(output, given):
    model = Autoregressive()
    model.weight.data[output, given] = 0.01
    with pytest.raises(
        VerificationError, match=f"output {output} depends on input {given}.*sees its future"
    ):
        gl.verify.causal(model)


def test_finds_an_output_that_sees_itself():
    model = Autoregressive()
    model.weight.data[3, 3] = -0.2
    with pytest.raises(VerificationError, match=r"output 3 depends on input 3.*type A"):
        gl.verify.causal(model)


def test_the_order_is_the_model_s():
    model = Autoregressive(order=[5, 4, 3, 2, 1, 0])
    model.order = torch.arange(6)
    with pytest.raises(VerificationError):
        gl.verify.causal(model)


class Picture(gl.Model):
    event_shape = torch.Size([1, 3, 3])
    shift = 1

    def conditionals(self, x):
        return x.flatten(1).cumsum(1).roll(self.shift, 1).reshape(x.shape) * (
            torch.arange(9, device=x.device) > 0
        ).reshape(1, 3, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("support", [constraints.real, constraints.unit_interval, Levels(256)])
def test_other_supports_dtypes_and_image_shapes(support, dtype):
    model = Picture()
    model.register_buffer("anchor", torch.zeros(1))
    model.to(DEVICE, dtype)
    model.support = support
    gl.verify.causal(model)
    model.shift = 0
    with pytest.raises(VerificationError, match="output 1 depends on input 1"):
        gl.verify.causal(model)


class Own(gl.Model):
    """Its output at one place is its input there."""

    event_shape = torch.Size([4])
    place = 0

    def conditionals(self, x):
        self.check(x)
        return x * (torch.arange(4) == self.place)


@pytest.mark.parametrize("support", [constraints.boolean, States((2, 3, 4, 5)), Levels(3)])
@pytest.mark.parametrize("place", range(4))
def test_tries_other_events_of_a_discrete_support(support, place):
    """Whatever state the random events hold, the one tried beside it differs, and is one."""
    model = Own()
    model.support, model.place = support, place
    for _ in range(10):
        with pytest.raises(VerificationError, match=f"output {place} depends on input {place}"):
            gl.verify.causal(model, rows=1)


def test_a_value_with_one_state_has_no_other():
    model = Own()
    model.support = States((1, 3, 3, 3))
    gl.verify.causal(model)


@pytest.mark.parametrize("kind", ["labels", "conditions"])
def test_a_leak_that_only_some_conditions_open_is_found(kind):
    class Conditional(gl.Model):
        event_shape = torch.Size([3])

        def conditionals(self, x, y):
            opens = (y == 1).float() if kind == "labels" else y.relu().sum(1)
            return x.roll(-1, 1) * opens[:, None]

    model = Conditional()
    if kind == "labels":
        model.classes = 2
    else:
        model.condition_shape = torch.Size([2])
    with pytest.raises(VerificationError, match="output 0 depends on input 1"):
        gl.verify.causal(model, rows=40)  # none of 40 opens with probability 2⁻⁴⁰


@pytest.mark.parametrize("before", [float("nan"), float("-inf")])
def test_outputs_that_are_not_finite_hide_no_leak(before):
    """NaN and −∞ differ from nothing by a number."""

    class Hidden(Own):
        def conditionals(self, x):
            return torch.where(x > 0.5, 0.0, before)

    model = Hidden()
    model.support = constraints.boolean
    with pytest.raises(VerificationError, match="output 0"):
        gl.verify.causal(model, rows=8)


def test_minus_infinity_that_stays_is_no_leak():
    class Impossible(Own):
        def conditionals(self, x):
            return torch.full_like(x, -torch.inf)

    gl.verify.causal(Impossible())


def test_outputs_of_another_shape():
    class Flat(Own):
        def conditionals(self, x):
            return x.sum(1)

    with pytest.raises(VerificationError, match=r"shape \(2, 4\), .* got \(2,\)"):
        gl.verify.causal(Flat())


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (nn.Linear(2, 2), TypeError, "with conditionals, event_shape.*; Linear has no conditional"),
        (TrainedGaussian(2), TypeError, "TrainedGaussian has no conditionals"),
        (None, TypeError, "NoneType has no conditionals"),
    ],
)
def test_what_is_no_autoregressive_model(model, error, words):
    with pytest.raises(error, match=words):
        gl.verify.causal(model)


def test_bad_input():
    with pytest.raises(TypeError, match="rows: expected an integer, got None"):
        gl.verify.causal(Autoregressive(), rows=None)
    with pytest.raises(ValueError, match="rows: expected at least 1, got 0"):
        gl.verify.causal(Autoregressive(), rows=0)
    model = Own()
    model.support = constraints.nonnegative_integer
    with pytest.raises(ValueError, match=r"got \{0, 1, 2, …\}"):
        gl.verify.causal(model)
    model.event_shape = None
    with pytest.raises(gl.NotFittedError, match="Own has seen no data yet"):
        gl.verify.causal(model)
