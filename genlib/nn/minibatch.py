"""Layers in which the rows of a batch see each other, or a reference batch that never changes.

Batch normalisation makes the output for one row depend on whoever is drawn beside it, which in a
generator shows as a colour or a texture that all samples of a batch share. Here are the two cures
of Salimans et al. [1], both with a batch of reference rows, chosen once: normalise by the
statistics of the reference rows, or by those of the reference rows *and the row itself*. Their
third layer does the opposite on purpose: it tells a discriminator how alike the rows of a batch
are, so that a generator which always draws the same is found out.

References
----------
[1] Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen (2016), "Improved techniques for
training GANs", NIPS, sections 3.2 and 3.5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genlib.core.validation import (
    check_count,
    check_dense,
    check_flag,
    check_positive,
    check_tensor,
)
from genlib.kernels.pairwise_l1 import minibatch_features


class MinibatchDiscrimination(nn.Module):
    """Append to each row how close it comes to the other rows of its batch.

    ``M_ib = x_i T_b``, and then ``o_ib = Σ_{j ≠ i} exp(−‖M_ib − M_jb‖₁)``, without the one that row
    i would add to its own sum; see `genlib.kernels.pairwise_l1`.

    Parameters
    ----------
    inputs : int
        A, values of a row.
    kernels : int
        B, features that are appended.
    dim : int
        C, values of a vector M_ib.

    Attributes
    ----------
    weight : torch.nn.Parameter, shape (A, B, C)
        T, drawn from a normal distribution of standard deviation A^(−1/2): for rows of independent
        standard values, each M_ibc has variance one.

    Raises
    ------
    TypeError, ValueError
        A size is no positive integer; or what is put in is not (N, A).
    """

    def __init__(self, inputs: int, kernels: int = 100, dim: int = 5) -> None:
        super().__init__()
        for name, value in (("inputs", inputs), ("kernels", kernels), ("dim", dim)):
            check_count(value, name)
        self.weight = nn.Parameter(torch.randn(inputs, kernels, dim) * inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Rows (N, A) with their features behind them, (N, A + B)."""
        inputs, kernels, dim = self.weight.shape
        if x.dim() != 2 or x.shape[1] != inputs:
            mend = "; flatten with x.flatten(1)" if x.dim() > 2 else ""
            raise ValueError(f"x: expected shape (N, {inputs}), got {tuple(x.shape)}{mend}.")
        m = (x @ self.weight.flatten(1)).unflatten(1, (kernels, dim))
        m = m.to(self.weight.dtype)  # in full, also under autocast
        return torch.cat([x, minibatch_features(m)], 1)

    def extra_repr(self) -> str:
        """The sizes, for ``print``."""
        return "inputs={}, kernels={}, dim={}".format(*self.weight.shape)


class ReferenceBatchNorm(nn.Module):
    """Normalise every row by mean and variance of the reference rows alone, channel by channel.

    ``y = (x − μ) / √(σ² + ε) · weight + bias``, with μ and σ² over reference rows and places. Works
    inside a `WithReference`, which puts the reference rows through the same layers. Training and
    evaluation are the same; nothing runs along.

    Parameters
    ----------
    channels : int
        C, of inputs (N, C) or (N, C, \\*places).
    eps : float
        ε.
    affine : bool
        Whether to learn ``weight`` and ``bias``, which begin as 1 and 0.

    Raises
    ------
    TypeError, ValueError
        ``channels`` is no positive integer, ``eps`` not positive, ``affine`` no flag; or what is
        put in is not (N, C, ...).
    RuntimeError
        The layer is used outside of a `WithReference`.
    """

    def __init__(self, channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        check_count(channels, "channels")
        check_positive(eps, "eps")
        check_flag(affine, "affine")
        self.channels, self.eps = channels, eps
        self.reference_rows: int | None = None  # how many rows come first; `WithReference` says
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalised rows, those of the reference first, in the shape of ``x``."""
        self._check(x)
        flat = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)  # (N, C, S)
        flat = flat.to(torch.promote_types(x.dtype, torch.float32))  # in full, also under autocast
        mean, variance = self._statistics(flat)
        y = (flat - mean) * (variance + self.eps).rsqrt()
        if self.weight is not None:
            y = y * self.weight[:, None] + self.bias[:, None]
        return y.view(x.shape).to(x.dtype)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.channels}, eps={self.eps}, affine={self.weight is not None}"

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance by which each row of (N, C, S) is normalised, (1 or N, C, 1)."""
        reference = x[: self.reference_rows]
        variance, mean = torch.var_mean(reference, (0, 2), correction=0, keepdim=True)
        return mean, variance

    def _check(self, x: Tensor) -> None:
        name = type(self).__name__
        if self.reference_rows is None:
            raise RuntimeError(
                f"{name}: expected to be called by a WithReference, which brings the reference "
                f"rows; wrap the network, as in WithReference(network, reference)."
            )
        if x.dim() < 2 or x.shape[1] != self.channels:
            raise ValueError(
                f"{name}: expected shape (N, {self.channels}, ...), got {tuple(x.shape)}."
            )


class VirtualBatchNorm(ReferenceBatchNorm):
    """Normalise every row by mean and variance of the reference rows *and the row itself*.

    Not of the reference and the whole batch: the output for a row depends on no other row of its
    batch. With R reference rows of mean μ and variance σ², and the row's own a and b (over its
    places; b = 0 where it has one) [1]::

        w = 1 / (R + 1)      mean = μ + w (a − μ)
        variance = (1 − w) σ² + w b + w (1 − w) (a − μ)²

    The reference rows are normalised by their own statistics. Parameters and errors are those of
    `ReferenceBatchNorm`.
    """

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = super()._statistics(x)
        rows = self.reference_rows
        own_variance, own_mean = torch.var_mean(x[rows:], 2, correction=0, keepdim=True)
        w, shift = 1 / (rows + 1), own_mean - mean
        both = (1 - w) * variance + w * own_variance + w * (1 - w) * shift.square()
        means = torch.cat([mean.expand(rows, -1, -1), mean + w * shift])
        return means, torch.cat([variance.expand(rows, -1, -1), both])


class WithReference(nn.Module):
    """A network whose batches are preceded by reference rows, for the norm layers in it.

    The reference rows go through ``network`` in front of each batch, so that every layer sees them
    as its present weights make them, and gradients flow through their statistics; what comes out
    for them is dropped. Each pass costs that of R more rows.

    Parameters
    ----------
    network : torch.nn.Module
        With `ReferenceBatchNorm` or `VirtualBatchNorm` in it. Takes one tensor or several, and
        gives a tensor or a tuple of them, a row for each row that it is given.
    *reference : Tensor, shape (R, ...)
        R ≥ 2 rows of each input, chosen once: data for a discriminator, noise for a generator. Kept
        as buffers, saved with the weights.

    Raises
    ------
    TypeError, ValueError
        ``network`` is no module, or has no such layer in it; reference rows are missing, fewer than
        two, not finite, or not as many for each input; at a call, other inputs than the reference
        has.
    """

    def __init__(self, network: nn.Module, *reference: Tensor) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise TypeError(f"network: expected a torch.nn.Module, got {network!r:.60}.")
        if not any(isinstance(part, ReferenceBatchNorm) for part in network.modules()):
            raise ValueError(
                "network: expected a ReferenceBatchNorm or a VirtualBatchNorm in it, got none."
            )
        if not reference:
            raise ValueError("reference: expected a batch of reference rows, got none.")
        for rows in reference:
            check_dense(rows, "reference", "convert it with torch.as_tensor(reference)")
            if rows.is_floating_point():
                check_tensor(rows, "reference")
            if rows.dim() == 0 or len(rows) < 2 or len(rows) != len(reference[0]):
                raise ValueError(
                    "reference: expected two rows or more, and as many of each input, got shapes "
                    f"{', '.join(str(tuple(part.shape)) for part in reference)}."
                )
        self.network = network
        for number, rows in enumerate(reference):
            self.register_buffer(f"reference_{number}", rows.detach().clone())

    @property
    def reference(self) -> tuple[Tensor, ...]:
        """The reference rows of each input."""
        return tuple(self._buffers.values())

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What ``network`` gives for the rows of the inputs."""
        pairs = zip(self.reference, self._checked(inputs), strict=True)
        together = [torch.cat(pair) for pair in pairs]
        layers = [part for part in self.network.modules() if isinstance(part, ReferenceBatchNorm)]
        rows = len(self.reference[0])
        for layer in layers:
            layer.reference_rows = rows
        try:
            out = self.network(*together)
        finally:
            for layer in layers:  # outside, they refuse: no batch is taken for a reference
                layer.reference_rows = None
        return out[rows:] if isinstance(out, Tensor) else tuple(part[rows:] for part in out)

    def _checked(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """``inputs``, which must be such as the reference rows are."""
        if len(inputs) != len(self.reference):
            raise ValueError(
                f"inputs: expected {len(self.reference)}, as many as reference batches, got "
                f"{len(inputs)}."
            )
        for rows, value in zip(self.reference, inputs, strict=True):
            if value.shape[1:] != rows.shape[1:] or value.dtype != rows.dtype:
                raise ValueError(
                    f"inputs: expected rows as those of the reference, {tuple(rows.shape[1:])} in "
                    f"{rows.dtype}, got {tuple(value.shape[1:])} in {value.dtype}."
                )
        return inputs
