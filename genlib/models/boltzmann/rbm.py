"""Restricted Boltzmann machines of binary visible units, and of Gaussian ones."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.distributions import constraints
from torch.nn import functional as F

from genlib.core.random import normal
from genlib.kernels import gibbs_step
from genlib.models.boltzmann.restricted import RestrictedMachine, softplus


class RBM(RestrictedMachine):
    """Restricted Boltzmann machine of binary units.

        E(x, h) = −b · x − c · h − x W h        p(x, h) = exp(−E(x, h)) / Z

    with x and h of zeros and ones. ``log_prob`` is exact where a layer has at most 25 units, and
    raises elsewhere; see `estimate_log_prob`. ``sample`` is exact with at most 12 hidden units;
    elsewhere it gives the states of chains after 1,000 steps from hidden units that are tossed,
    which are near the model's draws only where chains mix. ``encode`` gives p(h = 1 | x).

    Parameters
    ----------
    visible, hidden : int
        Numbers of units.
    method : {"cd", "pcd", "exact"}
        What stands for the model in the gradient: ends of chains of ``k`` Gibbs steps from the data
        (contrastive divergence), or of persistent chains, ``k`` steps further at each update; or
        the exact expectation, where a layer is small enough to be listed.
    k : int
    chains : int
        Number of persistent chains; for ``"pcd"`` alone.
    weight_decay : float
        λ of a penalty ½ λ ‖W‖².
    sparsity : float
        Weight of a penalty Σ_j of the cross-entropies of ``target`` and hidden unit j's mean
        probability over a batch.
    target : float
        Mean probability, in (0, 1), that sparsity aims at. The mean is over the batch; Hinton's
        guide has one that decays over former batches as well.

    Raises
    ------
    TypeError, ValueError
        A number is out of its range.

    Notes
    -----
    The first ``fit`` sets the base-rate machine, from which annealing starts, to the rates of its
    rows, and begins with them as visible biases unless ``b`` was given other values than zeros. A
    loader's rows are read for it where they are a tensor of a ``TensorDataset``, or grey values of
    `binarizing_loader`; for others call ``set_base_rates(x)``, or annealing starts at the uniform
    distribution.

    ``fit`` uses Adam by default, and ``lr`` is its rate. Hinton's guide has stochastic gradient
    steps with momentum: ``optimizer=functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9)``.

    The ``loss`` of its history is the free energy of rows less that of the chains' ends, which says
    nothing of how good the machine is. Where log Z cannot be listed, watch
    `pseudo_log_likelihood`, as by ``gl.Watch``, or compare the mean free energies of training rows
    and held-out ones.

    Scikit-learn's ``BernoulliRBM`` is trained by ``method="pcd", k=1`` with ``batch_size`` chains;
    its ``components_`` is ``W.T``, and its ``fit`` begins anew where this one goes on.

    Examples
    --------
    >>> model = RBM(784, 500, method="pcd", k=1)
    >>> model.sample(2).shape
    torch.Size([2, 784])
    """

    support = constraints.boolean

    def _visible_energy(self, v: Tensor, bias: Tensor) -> Tensor:
        return -(v @ bias)

    def _draw_visible(
        self, h: Tensor, bias: Tensor, scale: float, key: int, generator: Generator | None
    ) -> Tensor:
        return gibbs_step(h, self.W.T, bias, key, 1, scale=scale)

    def _log_visible_sum(self, field: Tensor, bias: Tensor) -> Tensor:
        return softplus(field + bias).sum(1)

    def _base_rates(self, v: Tensor) -> Tensor:
        return ((v.sum(0) + 0.5) / (len(v) + 1)).logit()  # units never on have half a row

    def _visible_states(self) -> int | None:
        return len(self.b)

    def visible_probabilities(self, h: Tensor) -> Tensor:
        """p(x_i = 1 | h) = σ((W h)_i + b_i) of hidden states, shape (N, visible)."""
        self._check_hidden(h, len(h) if isinstance(h, Tensor) and h.dim() else 1)
        return torch.addmm(self.b, h, self.W.T).sigmoid()

    @torch.no_grad()
    def pseudo_log_likelihood(self, x: Tensor) -> Tensor:
        """Σ_i log p(x_i | all other x) of each row, shape (N,), in nats: it needs no log Z.

        Its cost is that of ``visible`` free energies a row; a few hundred rows tell enough to watch
        training by. (Scikit-learn's ``score_samples`` draws one i and multiplies.)
        """
        self.check(x)
        field, flips = self._field(x), 1 - 2 * x
        now, total = softplus(field).sum(1), x.new_zeros(len(x))
        for flip, weight, bias in zip(flips.T, self.W, self.b, strict=True):
            flipped = softplus(torch.addcmul(field, flip[:, None], weight)).sum(1)
            total += F.logsigmoid(now - flipped - flip * bias)  # F of the flipped row less F
        return total


class GaussianRBM(RestrictedMachine):
    """Restricted Boltzmann machine whose visible units are real numbers.

        E(x, h) = ½ ‖x − b‖² − c · h − x W h        p(x, h) = exp(−E(x, h)) / Z

    Given h, x is Gaussian with mean b + W h and variance one in every dimension: p(x) is a mixture
    of 2^hidden such Gaussians, whose means are sums of columns of W. Data must therefore come
    standardised, or whitened. ``log_prob`` is exact with at most 25 hidden units.

    (Document C has ½ ‖x‖² − b · x in place of ½ ‖x − b‖²: the same, up to a constant.)

    Parameters
    ----------
    visible, hidden, **settings
        As for `RBM`.

    Raises
    ------
    TypeError, ValueError
        As for `RBM`.

    Notes
    -----
    Real visible units can be driven far by large weights, and training diverges at rates that
    binary units take well (Hinton 2012, section 13.2): take a tenth of them.

    Examples
    --------
    >>> GaussianRBM(64, 100).encode(torch.zeros(3, 64)).shape
    torch.Size([3, 100])
    """

    _SCALES = (0.5, 2.0)  # of all columns together
    _LARGEST_SCALE = 5.0  # of one column
    _LEAST_ROWS = 20  # that say something of a scale

    def _check_rates(self, x: Tensor) -> None:
        self.check_batch(x)

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        """Raise unless the columns that vary have about unit variance, as far as the rows tell."""
        super().check_batch(*batch, name=name)
        if len(batch[0]) < self._LEAST_ROWS:
            return
        variances = batch[0].var(0, correction=0)
        varied = (variances > 0).sum().clamp_min(1)
        scale, largest = (variances.sum() / varied).sqrt().item(), variances.max().sqrt().item()
        least, most = self._SCALES
        if not least <= scale <= most or largest > self._LARGEST_SCALE:
            raise ValueError(
                f"{name}: expected columns of about unit variance, got a standard deviation of "
                f"{scale:.3g}, and of {largest:.3g} in column {int(variances.argmax())}; "
                f"standardise with std = {name}.std(0); ({name} - {name}.mean(0)) / "
                "std.where(std > 0, 1), or whiten."
            )

    def _visible_energy(self, v: Tensor, bias: Tensor) -> Tensor:
        return 0.5 * (v - bias).square().sum(1)

    def _draw_visible(
        self, h: Tensor, bias: Tensor, scale: float, key: int, generator: Generator | None
    ) -> Tensor:
        mean = torch.addmm(bias, h, self.W.T, alpha=scale)
        return mean + normal(mean.shape, mean, generator)

    def _log_visible_sum(self, field: Tensor, bias: Tensor) -> Tensor:
        squares = (field * (bias + 0.5 * field)).sum(1)
        return squares + 0.5 * len(self.b) * math.log(2 * math.pi)

    def _base_rates(self, v: Tensor) -> Tensor:
        return v.mean(0)

    def _visible_states(self) -> int | None:
        return None
