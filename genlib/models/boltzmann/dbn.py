"""The deep belief network: a directed network of binary units under a restricted machine.

Sources: the chapter on deep belief networks of document C; Hinton, Osindero and Teh (2006), "A fast
learning algorithm for deep belief nets"; Salakhutdinov and Murray (2008), "On the quantitative
analysis of deep belief networks".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F

from genlib.core import CannotAnswerError, Estimate, History, LatentVariableModel
from genlib.core.fit import Data
from genlib.core.validation import check_counts
from genlib.kernels import bernoulli
from genlib.models.autoencoders import Autoencoder, StackedAutoencoder
from genlib.models.boltzmann.classification import ClassificationRBM
from genlib.models.boltzmann.rbm import RBM
from genlib.models.boltzmann.restricted import (
    MOST_LISTED,
    MOST_QUICKLY,
    RestrictedMachine,
    check_labelled,
    linear_layers,
    new_key,
    unroll,
)


class DBN(LatentVariableModel):
    """Deep belief network of layers x = h_0, h_1, …, h_L of binary units.

        p(x, h_1 … h_L) = p(x | h_1) p(h_1 | h_2) … p(h_{L−2} | h_{L−1}) p(h_{L−1}, h_L)

    All connections but those of the two top layers, which are an RBM, are directed downwards, with
    p(h_l = 1 | h_{l+1}) = σ(b_l + V_l h_{l+1}). It is no feed-forward network, no sigmoid belief
    network and no deep Boltzmann machine. Going up, q(h_{l+1} = 1 | h_l) = σ(r_l + R_l h_l)
    approximates the posterior distribution.

    `pretrain` trains the layers as RBMs, each on *samples* of the hidden units of the one below,
    drawn once. ``fit`` trains all together by the contrastive wake–sleep algorithm, "up–down":
    states drawn on the way up teach V and b, k steps of the top machine from there teach it, and
    states drawn on the way down from where it ends teach R and r.

    ``elbo(x)`` bounds log p(x), `estimate_log_prob` estimates it; both need log Z of the top
    machine: exact where a layer of it has at most 16 units, else that of the last
    `estimate_log_partition`.

    Parameters
    ----------
    sizes : sequence of int
        Units of x, h_1, …, h_L; three at least.
    classes : int, optional
        Number of labels, which are units of the top machine: then ``fit(x, y)``, `predict`,
        ``sample(n, y)``.
    **settings
        Of the machines, as for `RBM`: ``k``, …. Weight decay and sparsity are for `pretrain`: the
        up–down algorithm has no penalties.

    Raises
    ------
    TypeError, ValueError
        A number is not what it must be, or there are fewer than three layers.

    Examples
    --------
    >>> model = DBN([64, 30, 20], classes=10)
    >>> model.predict(torch.zeros(3, 64)).shape
    torch.Size([3])
    """

    lesson = "15_deep_belief_networks"
    support = constraints.boolean
    full_precision = "draws and logits of its layers."

    def __init__(self, sizes: Sequence[int], classes: int | None = None, **settings: Any) -> None:
        super().__init__()
        check_counts(sizes, "sizes")
        if len(sizes) < 3:
            raise ValueError(
                f"sizes: expected at least three layers, as in [784, 500, 2000], got "
                f"{list(sizes)}; with two it is an RBM."
            )
        self.event_shape, self.classes = torch.Size([sizes[0]]), classes
        self.settings = dict(settings)
        *directed, penultimate, last = sizes
        pairs = list(pairwise([*directed, penultimate]))
        self.down = nn.ModuleList(nn.Linear(above, below) for below, above in pairs)
        self.up = nn.ModuleList(nn.Linear(below, above) for below, above in pairs)
        if classes is None:
            self.top: RestrictedMachine = RBM(penultimate, last, **settings)
        else:
            self.top = ClassificationRBM(penultimate, last, classes, **settings)
        self.register_buffer("log_z", torch.tensor(torch.nan, dtype=torch.float64))
        self.register_buffer("log_z_of", torch.full((3,), torch.nan, dtype=torch.float64))

    # ------------------------------------------------------------------ training

    def pretrain(self, x: Tensor, y: Tensor | None = None, **settings: Any) -> list[History]:
        """Train the layers as RBMs, the lowest first, each on samples of the hidden units below.

        A machine whose hidden layer is as large as the visible layer of the one below begins with
        that one's weights, transposed: the bound on log p(x) then begins where the lower machine
        ended, and better machines raise it.

        Parameters
        ----------
        x : Tensor, shape (N, sizes[0])
        y : Tensor, optional
            Labels, for the top machine of a network that has some.
        **settings
            As for ``RBM.fit``, for every layer alike.

        Returns
        -------
        list of History
            One a machine.
        """
        self.check_batch(*((x,) if y is None else (x, y)))
        for name in ("valid", "checkpoint"):
            if settings.get(name) is not None:
                raise ValueError(f"{name}: expected none; it is for fit.")
        histories, below = [], None
        for down, up in zip(self.down, self.up, strict=True):
            machine = RBM(down.out_features, down.in_features, **self.settings)
            machine.to(self.device, self.dtype)
            if below is not None:
                _begin_transposed(machine, below, x)
            histories.append(machine.fit(x, **settings))
            unroll(machine, up, down)
            with torch.no_grad():
                x = bernoulli(machine._field(x), new_key(None))
            below = machine
        if self.classes is None:
            _begin_transposed(self.top, below, x)
        histories.append(self.top.fit(x, y, **settings))
        return histories

    def classifier(self, classes: int) -> StackedAutoencoder:
        """A network to be fine-tuned with labels: the layers' way up, as they are now, under a new
        linear layer for ``classes`` labels.

        Each layer is an autoencoder, whose decoder is the layer's way down. ``fit(x, y)`` of the
        stack trains the way up by backpropagation; this network keeps its own weights.
        """
        penultimate, last = self.up[-1].out_features, self.top.W.shape[1]
        up = [*self.up, nn.Linear(penultimate, last)]
        down = [*self.down, nn.Linear(last, penultimate)]
        unroll(self.top, up[-1], down[-1])
        layers = [_as_autoencoder(*ways) for ways in zip(up, down, strict=True)]
        return StackedAutoencoder(layers, classes).to(self.device, self.dtype)

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        """Raise unless there are rows, and labels where the network has some."""
        super().check_batch(*batch, name=name)
        if self.classes is not None:
            check_labelled(batch, name, "the top machine")

    def begin(self, data: Data) -> None:
        """Raise where the top machine has no chains."""
        if self.top.method == "exact":
            raise ValueError(
                'method: expected "cd" or "pcd" for up–down, whose negatives are ends of chains, '
                'got "exact", which is for pretrain.'
            )

    def loss(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The up–down algorithm: a quantity with the gradients of its three phases, and without a
        meaning of its own.
        """
        with torch.no_grad():
            awake = self._upwards(x)
            v = self.top._joined(awake[-1], y)
            field = self.top._field(v)
            negatives = self.top._negatives_after(v, field)
            asleep = self._downwards(self._without_label(negatives))
        loss = self.top._contrast(v, field, negatives)
        for down, (below, above) in zip(self.down, pairwise(awake), strict=True):
            loss = loss - _log_mass(down(above), below).mean()
        for up, (below, above) in zip(self.up, pairwise(asleep), strict=True):
            loss = loss - _log_mass(up(below), above).mean()
        return loss

    def _upwards(self, x: Tensor, generator: Generator | None = None) -> list[Tensor]:
        """x and states of h_1 … h_{L−1}, drawn from q."""
        states = [x]
        for up in self.up:
            states.append(bernoulli(up(states[-1]), new_key(generator)))
        return states

    def _downwards(self, above: Tensor, generator: Generator | None = None) -> list[Tensor]:
        """States of x, h_1, …, and of the layer ``above``, drawn from p."""
        states = [above]
        for down in reversed(self.down):
            states.append(bernoulli(down(states[-1]), new_key(generator)))
        return states[::-1]

    def _without_label(self, v: Tensor) -> Tensor:
        return v[:, : self.up[-1].out_features]

    # ------------------------------------------------------------------ density

    def estimate_log_partition(self, chains: int = 100, **settings: Any) -> Estimate:
        """Log Z of the top machine by annealing, kept for `elbo` and `estimate_log_prob`; see
        `RBM.estimate_log_partition`.
        """
        found = self.top.estimate_log_partition(chains, **settings).log_partition
        self.log_z.copy_(found.value)
        self.log_z_of.copy_(self._sizes_of_top())
        return found

    def _top_log_partition(self) -> Tensor:
        if self.top._least_listed() <= MOST_QUICKLY:
            return self.top.log_partition()
        if not torch.allclose(self.log_z_of, self._sizes_of_top(), rtol=1e-6):
            raise CannotAnswerError(
                "the bound on log p(x) needs log Z of the top machine as it is now, which is too "
                "large to be listed: call estimate_log_partition() first."
            )
        return self.log_z.to(self.dtype)

    @torch.no_grad()
    def _sizes_of_top(self) -> Tensor:
        """Sums of squares of the top machine's parameters, which tell it from what it was."""
        sizes = [part.double().square().sum() for part in self.top.parameters()]
        return torch.stack(sizes).to(self.log_z_of)

    def _require_validation(self) -> None:
        self._top_log_partition()  # raises where it is not known

    def _log_weights(
        self, x: Tensor, samples: int, generator: Generator | None, *y: Tensor
    ) -> Tensor:
        states = self._upwards(x.repeat(samples, 1), generator)
        if y:
            if self.top._least_listed() > MOST_LISTED:
                raise CannotAnswerError(
                    "log p(x | y) needs log Z of the top machine for each label, by listing at "
                    f"most {MOST_LISTED} units of its top layer; leave y out."
                )
            log_w = self.top._log_prob(states[-1], y[0].repeat(samples))
        else:
            log_w = -self.top._energy(states[-1]) - self._top_log_partition()
        pairs = pairwise(states)
        for up, down, (below, above) in zip(self.up, self.down, pairs, strict=True):
            log_w = log_w + _log_mass(down(above), below) - _log_mass(up(below), above)
        return log_w.view(samples, len(x))

    # ------------------------------------------------------------------ the other queries

    def _sample(self, n: int, generator: Generator | None, *y: Tensor) -> Tensor:
        return self._downwards(self.top._sample(n, generator, *y), generator)[0]

    @torch.no_grad()
    def dream(
        self, x: Tensor, y: Tensor, steps: int = 100, *, generator: Generator | None = None
    ) -> Tensor:
        """p(x = 1 | h_1) where the top machine, begun at what ``x`` calls up and with the labels
        ``y`` clamped, is after ``steps``: pictures of the class, (N, sizes[0]).
        """
        self.check_batch(x, y)
        if self.classes is None:
            raise ValueError("dream: expected a network with labels; make it with classes=.")
        above = self._upwards(x, generator)[-1]
        above, _ = self.top.gibbs(above, y, steps, clamp=True, generator=generator)
        _, first, *_ = self._downwards(above, generator)
        return self.down[0](first).sigmoid()

    def _encode(self, x: Tensor) -> Tensor:
        """p(h_L = 1), going up with probabilities in place of states."""
        return self.top._encode(self._means(x))

    def _means(self, x: Tensor) -> Tensor:
        """Probabilities of h_{L−1}, going up with probabilities in place of states."""
        for up in self.up:
            x = up(x).sigmoid()
        return x

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | h_{L−1}) of the top machine, by free energies, at the probabilities that ``x``
        calls up there, (N, classes).
        """
        if self.classes is None:
            raise ValueError(
                "predict_proba: this network has no labels; make it with classes=, and fit(x, y)."
            )
        self.check(x)
        return (-self.top._energies_by_label(self._means(x))).softmax(1)

    def predict(self, x: Tensor) -> Tensor:
        """The most probable label of each row, int64 of shape (N,)."""
        return self.predict_proba(x).argmax(1)


def _as_autoencoder(up: nn.Linear, down: nn.Linear) -> Autoencoder:
    """Sigmoid units with a copy of these layers' weights."""
    below, above = up.in_features, up.out_features
    layer = Autoencoder(below, above, (), code_activation="sigmoid", error="cross_entropy")
    for network, way in ((layer.encoder, up), (layer.decoder, down)):
        (linear,) = linear_layers(network)
        linear.load_state_dict(way.state_dict())
    return layer


def _log_mass(logits: Tensor, states: Tensor) -> Tensor:
    """log p of binary states of a layer, (N,)."""
    return -F.binary_cross_entropy_with_logits(logits, states, reduction="none").sum(1)


@torch.no_grad()
def _begin_transposed(machine: RestrictedMachine, below: RestrictedMachine, x: Tensor) -> None:
    """Begin where the machine below ended, if the sizes allow it."""
    if machine.W.shape == below.W.T.shape:
        machine.set_base_rates(x)
        machine.W.copy_(below.W.T)
        machine.b.copy_(below.c)
        machine.c.copy_(below.b)
