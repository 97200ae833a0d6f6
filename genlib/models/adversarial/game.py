"""What games over the caller's own networks have in common: checks of what the networks say, and of
what a file can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.modules.batchnorm import _BatchNorm

from genlib.core import Model, Player
from genlib.core.fit import MakeOptimizer
from genlib.core.validation import check_count
from genlib.models.adversarial.costs import COSTS, Cost, as_cost
from genlib.nn.dense import one_tensor, output_of

_RANGES = {  # of the last operation of a network
    "SigmoidBackward0": constraints.unit_interval,
    "TanhBackward0": constraints.interval(-1.0, 1.0),
}
_PROBABILITIES = {
    "SigmoidBackward0": "a sigmoid",
    "SoftmaxBackward0": "a softmax",
    "LogSoftmaxBackward0": "a log-softmax",
    "LogSigmoidBackward0": "a log-sigmoid",
}
_SAME_VALUES = (  # operations that only move numbers
    *("Alias", "Clone", "Permute", "Reshape", "Select", "Slice", "Squeeze", "ToCopy"),
    *("Transpose", "Unsqueeze", "UnsafeView", "View"),
)


class Game(Model, abstract=True):
    """A model of networks that are handed in, which no file can hold."""

    _judge: ClassVar[str] = "discriminator"
    _has_batch_norm = False

    def _set_rules(
        self,
        cost: str | Cost,
        steps: tuple[int, int],
        makers: tuple[MakeOptimizer | None, MakeOptimizer | None],
    ) -> None:
        """Take the cost, and of the judging and of the drawing side the steps a round and what
        makes the optimiser.
        """
        for name, count in zip((self._judge, "generator"), steps, strict=True):
            check_count(count, f"{name}_steps")
        self.cost, self._makers = as_cost(cost), makers
        self.discriminator_steps, self.generator_steps = steps

    def _sides(self, judging: Sequence[nn.Module], drawing: Sequence[nn.Module]) -> list[Player]:
        """Who moves: the networks that judge, as one player, and then those that draw."""
        judged, drawn = (
            [p for network in networks for p in network.parameters() if p.requires_grad]
            for networks in (judging, drawing)
        )
        losses, (make_judge, make) = (self.discriminator_loss, self.generator_loss), self._makers
        return [
            Player(self._judge, judged, losses[0], self.discriminator_steps, make_judge),
            Player("generator", drawn, losses[1], self.generator_steps, make),
        ]

    def save(self, path: str | Path) -> None:
        """Write the constructor's arguments and the weights to one safetensors file, atomically.

        Raises
        ------
        TypeError
            The model was made of networks or of a cost of your own, or of other code, which no file
            can hold.
        """
        if self._own:
            raise TypeError(
                f"cannot save a {type(self).__name__}: expected a model that makes its networks "
                f"itself, as gl.DCGAN does, got code of yours for {', '.join(self._own)}; write "
                "safetensors.torch.save_file(model.state_dict(), path), and read it into a model "
                "made in the same way: "
                "model.load_state_dict(safetensors.torch.load_file(path))."
            )
        super().save(path)

    def _note_code(self) -> None:
        """Note which arguments are code, and keep all as checkpoints compare them."""
        self._own = [name for name, value in self.arguments.items() if _is_code(value)]
        self.arguments = {name: _plain(value) for name, value in self.arguments.items()}

    def _check_batch_of_one(self, x: Tensor) -> None:
        if len(x) == 1 and self._has_batch_norm and self.training:
            raise ValueError(
                "batch_size: expected batches of at least two rows for batch norm, got one; where "
                "the last of an epoch is left with one, take another batch_size, or a DataLoader "
                "with drop_last=True."
            )


def check_modules(networks: dict[str, Any]) -> None:
    """Raise unless all are networks, without common parameters."""
    for name, network in networks.items():
        if not isinstance(network, nn.Module):
            raise TypeError(f"{name}: expected a torch.nn.Module, got {network!r:.60}.")
    seen: set[nn.Parameter] = set()
    for network in networks.values():
        if not seen.isdisjoint(network.parameters()):
            raise ValueError(
                f"{', '.join(networks)}: expected networks without common parameters, whose losses "
                "would pull them both ways."
            )
        seen.update(network.parameters())


def probed(
    network: nn.Module, function: Callable[..., object], given: Sequence[Tensor], name: str
) -> tuple[Tensor, str]:
    """What ``function``, which asks a network, says in evaluation mode of some rows, the first of
    ``given``; and the name of the network's last operation.
    """
    rows = given[0].detach().requires_grad_()
    with torch.enable_grad():
        out = output_of(network, function, [rows, *given[1:]], name)
    if not out.requires_grad:
        raise ValueError(f"{name}: expected outputs with a gradient, got some that are detached.")
    node = out.grad_fn
    while node is not None and node.name().startswith(_SAME_VALUES):
        node = node.next_functions[0][0]
    return out.detach(), "" if node is None else node.name()


def range_of(network: nn.Module, last: str) -> constraints.Constraint:
    """Where the values of a generator lie, by its ``support`` or its last operation."""
    declared = getattr(network, "support", None)
    if isinstance(declared, constraints.Constraint):
        return declared
    return _RANGES.get(last, constraints.real)


def check_unbounded(last: str, name: str) -> None:
    """Raise where the last operation of a discriminator makes probabilities of its logits."""
    if last in _PROBABILITIES:
        raise ValueError(
            f"{name}: expected logits, any real numbers, got the values of {_PROBABILITIES[last]}; "
            "leave that last operation out, the cost takes the number before it."
        )


def logits_of(out: object, x: Tensor, name: str, *, patches: bool = False) -> Tensor:
    """What a discriminator said of ``x``, checked to be one number a row, as (N,); or, where there
    may be ``patches``, one channel of numbers (N, 1, h, w), as (N, h, w).
    """
    n, out = len(x), one_tensor(out, name)
    if out.shape in ((n,), (n, 1)):
        return out.reshape(n).to(x.dtype)
    if patches and out.dim() == 4 and out.shape[:2] == (n, 1):
        return out[:, 0].to(x.dtype)
    maps = f" or one channel of them, ({n}, 1, h, w)," if patches else ""
    mend = "; of two classes, the logit is the difference" if out.shape == (n, 2) else ""
    raise ValueError(
        f"{name}: expected one logit a row, shape ({n},) or ({n}, 1),{maps} got "
        f"{tuple(out.shape)}{mend}."
    )


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a layer of a network takes statistics of the batch."""
    return any(isinstance(part, _BatchNorm) for part in network.modules())


def _is_code(value: Any) -> bool:
    """Whether an argument is a network, a function, or a cost that has no name in `COSTS`."""
    if isinstance(value, Cost):
        return COSTS.get(value.name) is not value
    return callable(value) and not isinstance(value, Model)


def _plain(value: Any) -> Any:
    """An argument as checkpoints compare it: networks by their layers, costs by their names."""
    if isinstance(value, Cost):
        return value.name
    if isinstance(value, nn.Module) and not isinstance(value, Model):
        return repr(value)
    return "a function" if _is_code(value) else value
