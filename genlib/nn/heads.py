"""Output heads: from the channels of a network to the probabilities of pixels.

A head turns the output of a network, (N, channels, H, W), into the parameters of p(x_i | x_<i) for
every value of an image (N, colours, H, W), into log-probabilities, and into draws. It holds no
weights. Channels are ordered by colour: all those of red, then green, then blue.

A draw is a function of uniform numbers, so that the same numbers give the same image however the
parameters were computed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn import functional as F

from genlib.core.discrete import Levels
from genlib.core.random import categorical
from genlib.core.validation import check_count
from genlib.kernels.logistic_mixture import logistic_mixture_log_prob


class PixelHead:
    """What the heads share.

    Attributes
    ----------
    support : torch.distributions.constraints.Constraint
        The values of a pixel.
    noise : int
        Uniform numbers that one draw takes.
    joint : bool
        Whether the head itself lets each colour of a pixel depend on those before it. Elsewhere the
        masks of the network must.
    """

    support: constraints.Constraint
    noise = 1
    joint = False

    def channels(self, colours: int) -> int:
        """Channels that the network must provide."""
        raise NotImplementedError

    def conditionals(self, out: Tensor, x: Tensor) -> Tensor:
        """Parameters of every conditional, (N, colours, H, W, ...), at the pixels ``x``."""
        raise NotImplementedError

    def log_conditionals(self, out: Tensor, x: Tensor) -> Tensor:
        """Log-probability of each value, given those before it, (N, colours, H, W)."""
        raise NotImplementedError

    def log_prob(self, out: Tensor, x: Tensor) -> Tensor:
        """Log-probability of each image, (N,)."""
        return self.log_conditionals(out, x).flatten(1).sum(1)

    def draw(self, conditionals: Tensor, u: Tensor) -> Tensor:
        """The values that uniform numbers ``u``, (..., noise), draw from ``conditionals``."""
        raise NotImplementedError


class BernoulliHead(PixelHead):
    """Pixels 0 and 1, by their logits: a channel a colour."""

    support = constraints.boolean

    def channels(self, colours: int) -> int:
        """Channels that the network must provide."""
        return colours

    def conditionals(self, out: Tensor, x: Tensor) -> Tensor:
        """Logits of 1, (N, colours, H, W)."""
        return out

    def log_conditionals(self, out: Tensor, x: Tensor) -> Tensor:
        """Log-probability of each value, given those before it, (N, colours, H, W)."""
        return log_bernoulli(out, x)

    def draw(self, conditionals: Tensor, u: Tensor) -> Tensor:
        """1 where ``u`` lies below its probability."""
        return (u[..., 0] < conditionals.sigmoid()).to(u)


class CategoricalHead(PixelHead):
    """Pixels k/(L − 1), by a logit for each of the L levels: it knows nothing of their order.

    Raises
    ------
    TypeError, ValueError
        ``levels`` is no integer above 1.
    """

    def __init__(self, levels: int = 256) -> None:
        check_count(levels, "levels", minimum=2)
        self.levels = levels
        self.support = constraints.boolean if levels == 2 else Levels(levels)

    def channels(self, colours: int) -> int:
        """Channels that the network must provide."""
        return colours * self.levels

    def conditionals(self, out: Tensor, x: Tensor) -> Tensor:
        """Logits of the levels, (N, colours, H, W, levels)."""
        return out.unflatten(1, (-1, self.levels)).movedim(2, -1)

    def log_conditionals(self, out: Tensor, x: Tensor) -> Tensor:
        """Log-probability of each value, given those before it, (N, colours, H, W)."""
        level = (x * (self.levels - 1)).round().long()
        logits = out.unflatten(1, (-1, self.levels)).transpose(1, 2)
        return -F.cross_entropy(logits, level, reduction="none")

    def draw(self, conditionals: Tensor, u: Tensor) -> Tensor:
        """The level at which the summed probabilities pass ``u``."""
        return categorical(conditionals.softmax(-1), u[..., 0]).to(u) / (self.levels - 1)


class LogisticMixtureHead(PixelHead):
    """Pixels k/(L − 1), by a discretised mixture of K logistics a pixel [1].

    The components are shared by the colours of a pixel; given a component, the mean of green moves
    with red, and that of blue with red and green::

        p(r, g, b) = Σ_k π_k P(r | m_k) P(g | m'_k + α_k r) P(b | m''_k + β_k r + γ_k g)

    P is what a logistic density puts on the bin around a level; the bins of the first and the last
    one reach to infinity. `genlib.kernels.logistic_mixture` says how it is computed.

    Parameters
    ----------
    components : int
        K, the number of logistics.
    levels : int
        L.

    Raises
    ------
    TypeError, ValueError
        ``components`` is no positive integer, or ``levels`` none above 1.

    References
    ----------
    [1] Salimans et al. (2017), "PixelCNN++", ICLR.
    """

    noise = 2
    joint = True

    def __init__(self, components: int = 5, levels: int = 256) -> None:
        check_count(components, "components")
        check_count(levels, "levels", minimum=2)
        self.components, self.levels = components, levels
        self.support = constraints.boolean if levels == 2 else Levels(levels)

    def channels(self, colours: int) -> int:
        """Channels that the network must provide: K logits; for each colour K means, K log-scales
        and K slopes for each colour before it.
        """
        return self.components * (1 + 2 * colours + colours * (colours - 1) // 2)

    def conditionals(self, out: Tensor, x: Tensor) -> Tensor:
        """Log weight, mean and log scale of each logistic, (N, colours, H, W, K, 3).

        What the colours of a pixel have shown so far changes the weights of its components.
        """
        logits, means, log_scales = self._mixture(out, x)
        weights = [logits.log_softmax(1)]
        for c in range(x.shape[1] - 1):
            shown = self._log_masses(x[:, c], means[:, c], log_scales[:, c])
            weights.append((weights[c] + shown).log_softmax(1))
        return torch.stack([torch.stack(weights, 1), means, log_scales], -1).movedim(2, -2)

    def log_conditionals(self, out: Tensor, x: Tensor) -> Tensor:
        """Log-probability of each value, given those before it, (N, colours, H, W)."""
        joint = torch.stack([self._log_prefix(out, x, c + 1) for c in range(x.shape[1])], 1)
        return torch.cat([joint[:, :1], joint.diff(dim=1)], 1)

    def log_prob(self, out: Tensor, x: Tensor) -> Tensor:
        """Log-probability of each image, (N,)."""
        return self._log_prefix(out, x, x.shape[1]).flatten(1).sum(1)

    def draw(self, conditionals: Tensor, u: Tensor) -> Tensor:
        """The level next to a logistic draw: one number picks its component, one its place."""
        weight, mean, log_scale = conditionals.unbind(-1)
        chosen = categorical(weight.softmax(-1), u[..., 0]).unsqueeze(-1)
        mean, log_scale = (part.gather(-1, chosen)[..., 0] for part in (mean, log_scale))
        return logistic_level(mean, log_scale, u[..., 1], self.levels)

    def _log_prefix(self, out: Tensor, x: Tensor, colours: int) -> Tensor:
        """Log-probability of the first ``colours`` of each pixel, (N, H, W)."""
        logits, means, log_scales = self._mixture(out, x)
        first = slice(0, colours)
        return logistic_mixture_log_prob(
            x[:, first], logits, means[:, first], log_scales[:, first], self.levels
        )

    def _log_masses(self, x: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
        """Log-probability of values (N, H, W) under each component alone, (N, K, H, W)."""
        each = [part.flatten(0, 1)[:, None, None] for part in (means, log_scales)]
        values = x.repeat_interleave(self.components, 0)[:, None]
        alone = torch.zeros_like(values)
        return logistic_mixture_log_prob(values, alone, *each, self.levels).view_as(means)

    def _mixture(self, out: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, K, H, W), means and log-scales (N, colours, K, H, W).

        Where the network says zero, the means spread evenly over [0, 1] and the logistics overlap.
        """
        k, colours = self.components, x.shape[1]
        sizes = [1, colours, colours, colours * (colours - 1) // 2]
        logits, means, log_scales, slopes = out.unflatten(1, (-1, k)).split(sizes, 1)
        spread = (torch.arange(k, dtype=out.dtype, device=out.device) + 0.5) / k
        means = (means + spread[:, None, None]).unbind(1)
        pairs = iter(slopes.unbind(1))
        shifts = [sum(next(pairs) * x[:, j, None] for j in range(c)) for c in range(colours)]
        shifted = [mean + shift for mean, shift in zip(means, shifts, strict=True)]
        return logits.squeeze(1), torch.stack(shifted, 1), log_scales - 2


def log_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """Log-probability of each value of ``x``, 0 or 1, in its dtype, given the logits of 1."""
    return -F.binary_cross_entropy_with_logits(logits.to(x.dtype), x, reduction="none")


def logistic_level(mean: Tensor, log_scale: Tensor, u: Tensor, levels: int) -> Tensor:
    """The level k / (levels − 1) next to the place to which a logistic distribution function, on
    values in [0, 1], carries uniform numbers ``u``.
    """
    value = mean + log_scale.exp() * u.clamp(1e-6, 1 - 1e-6).logit()
    return (value.clamp(0, 1) * (levels - 1)).round() / (levels - 1)
