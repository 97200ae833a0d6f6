"""The contract of a model: one question sheet for all of them.

Every model of the course answers three queries with three methods, named as in
`torch.distributions`:

==================  ==========================================  ======================
query               method                                      answer
==================  ==========================================  ======================
density             ``log_prob(x)``                             (N,), in nats
sampling            ``sample(n)``                               (n, \\*event_shape)
representation      ``encode(x)``                               (N, d)
==================  ==========================================  ======================

A model writes ``_log_prob``, ``_sample``, ``_encode`` for what it can answer, and one sentence in
``cannot`` for what it cannot. The public methods check the input, once, and raise the sentence
where there is no answer. The class also declares *how* it answers the density query; the taxonomy
of the course is drawn from these declarations.
"""

from __future__ import annotations

import enum
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints
from torch.optim import Optimizer

from genlib.core.discrete import binary_events
from genlib.core.fit import Player, fit
from genlib.core.history import History
from genlib.core.saving import DamagedFileError, read_tree, write_tree
from genlib.core.validation import check_count, check_event, check_labels


class Density(enum.Enum):
    """How a class of models answers the density query."""

    EXACT = "exact"
    BOUND = "a bound"
    ENERGY = "up to the partition function"
    UNNORMALISED = "unnormalised"
    IMPLICIT = "implicit"
    NONE = "none"


class CannotAnswerError(NotImplementedError):
    """A query that this kind of model cannot answer; the message says why, and which lesson
    explains it.
    """


class NotFittedError(RuntimeError):
    """A query put to a model that has seen no data yet."""


class Model(nn.Module):
    """Base class of every model: the three queries, fitting, saving.

    Attributes
    ----------
    density : Density
        How the class answers the density query.
    support : torch.distributions.constraints.Constraint
        Where single values of an event may lie. ``log_prob`` is a log mass where it is discrete,
        else a log density.
    event_shape : torch.Size or None
        Shape of one event. ``None`` until ``fit`` where the data decide it.
    classes : int or None
        Number of labels, for models that have them: then ``y=`` conditions.
    lesson : str
        Folder of the lesson that teaches the model.
    cannot : mapping
        For each query that the model cannot answer (``"log_prob"``, ``"sample"``, ``"encode"``),
        the reason.
    """

    density: ClassVar[Density] = Density.NONE
    lesson: ClassVar[str] = ""
    cannot: ClassVar[Mapping[str, str]] = {}
    registry: ClassVar[dict[str, type[Model]]] = {}

    # Buffers whose shapes the data decide: `load_state_dict` makes room for them.
    fitted_buffers: ClassVar[tuple[str, ...]] = ()

    support: constraints.Constraint = constraints.real
    event_shape: torch.Size | None = None
    classes: int | None = None

    arguments: dict[str, Any]

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        """Enter the class in the registry, unless it is only a base for others."""
        super().__init_subclass__(**kwargs)
        if not abstract:
            Model.registry[cls.__qualname__] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the constructor's arguments, so that `save` can write them down."""
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
        bound.apply_defaults()
        object.__setattr__(
            self, "arguments", dict(itertools.islice(bound.arguments.items(), 1, None))
        )
        return self

    # ------------------------------------------------------------------ the three queries

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Log density (log mass on discrete support) of each row of ``x``, given ``y`` where labels
        are given.

        Parameters
        ----------
        x : Tensor, shape (N, \\*event_shape)
        y : Tensor of int64, shape (N,), optional
            Labels to condition on, for models that have labels. Without them the answer is the
            marginal.

        Returns
        -------
        Tensor, shape (N,)
            Nats.

        Raises
        ------
        CannotAnswerError
            The model defines no density that can be computed exactly.
        NotFittedError
            The model has not been fitted.
        TypeError, ValueError
            ``x`` is not a batch of events.
        """
        self._require("log_prob")
        self.check(x)
        return self._log_prob(x, **self._labels(y, len(x)))

    @torch.no_grad()
    def sample(
        self, n: int, y: Tensor | None = None, *, generator: Generator | None = None
    ) -> Tensor:
        """Draw ``n`` independent events, of classes ``y`` where labels are given.

        Parameters
        ----------
        n : int
        y : Tensor of int64, shape (n,), optional
        generator : torch.Generator, optional
            Source of randomness; torch's global one by default.

        Returns
        -------
        Tensor, shape (n, \\*event_shape)
        """
        self._require("sample")
        check_count(n)
        return self._sample(n, generator, **self._labels(y, n))

    def encode(self, x: Tensor) -> Tensor:
        """Representation of each row of ``x``, shape (N, d)."""
        self._require("encode")
        self.check(x)
        return self._encode(x)

    def _log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        raise NotImplementedError

    def _encode(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    @classmethod
    def answers(cls, query: str) -> bool:
        """Whether models of this class answer ``query``: ``"log_prob"``, ``"sample"`` or
        ``"encode"``.
        """
        return getattr(cls, f"_{query}") is not getattr(Model, f"_{query}")

    # ------------------------------------------------------------------ fitting

    def fit(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        valid: Tensor | tuple[Tensor, Tensor] | None = None,
        epochs: int = 10,
        batch_size: int = 128,
        lr: float = 1e-3,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
        clip_norm: float | None = None,
        patience: int | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: bool | None = None,
    ) -> History:
        """Train by minibatch gradient steps.

        Parameters
        ----------
        x : Tensor, shape (N, \\*event_shape)
        y : Tensor of int64, shape (N,), optional
            Labels, for models that have them.
        valid : Tensor or (Tensor, Tensor), optional
            Held-out rows (with their labels), on which `validation_loss` is recorded after each
            epoch.
        epochs, batch_size : int
        lr : float
            Learning rate of Adam, the default optimiser.
        optimizer : callable, optional
            Makes another optimiser out of parameters, as in ``functools.partial(torch.optim.SGD,
            lr=0.1)``.
        clip_norm : float, optional
            Largest norm of a gradient; longer ones are shortened to it.
        patience : int, optional
            Stop after so many epochs without a better validation loss, and go back to the best
            weights.
        checkpoint : path, optional
            File to write after every epoch, atomically.
        resume : bool
            Go on from ``checkpoint`` if it exists. On a CPU the numbers are those of the
            uninterrupted run, bit for bit.
        progress : bool, optional
            Show a progress bar; by default where somebody can watch it.

        Returns
        -------
        History
            A row an epoch.

        Raises
        ------
        TrainingDivergedError
            A loss or gradient stopped being finite.
        FileExistsError, WrongCheckpointError, DamagedFileError
            ``checkpoint`` exists and ``resume`` is false; it belongs to another run; it cannot be
            read.
        """
        valid_rows = valid if isinstance(valid, tuple) else (valid, None)
        return fit(
            self,
            self._rows(x, y),
            valid=None if valid is None else self._rows(*valid_rows),
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            optimizer=optimizer,
            clip_norm=clip_norm,
            patience=patience,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
        )

    def loss(self, x: Tensor) -> Tensor:
        """Quantity that training minimises on a batch: the mean negative log-likelihood where there
        is one, in nats.
        """
        if not self.answers("log_prob"):
            raise NotImplementedError(
                f"{type(self).__name__} has no log_prob to maximise and defines no loss of its own."
            )
        return -self._log_prob(x).mean()

    def validation_loss(self, *batch: Tensor) -> Tensor:
        """Mean loss on held-out rows; `loss` unless a model has something better to watch."""
        return self.loss(*batch)

    def players(self) -> Sequence[Player]:
        """Who moves in training: one player over all parameters, unless the model is a game."""
        return [Player("model", list(self.parameters()), self.loss)]

    # ------------------------------------------------------------------ saving

    def save(self, path: str | Path) -> None:
        """Write the constructor's arguments and the weights to one safetensors file, atomically."""
        write_tree(
            path,
            {
                "model": type(self).__qualname__,
                "arguments": self.arguments,
                "weights": self.state_dict(),
            },
        )

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        for name in self.fitted_buffers:
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.device))
        super()._load_from_state_dict(state_dict, prefix, *args)

    # ------------------------------------------------------------------ checks

    @property
    def _state(self) -> Tensor | None:
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next((tensor for tensor in tensors if tensor.is_floating_point()), None)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the model: that of its first floating-point parameter or buffer."""
        return torch.get_default_dtype() if self._state is None else self._state.dtype

    @property
    def device(self) -> torch.device:
        """Device on which the model lives."""
        return torch.device("cpu") if self._state is None else self._state.device

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise unless ``x`` is a batch of events of this model; see
        `genlib.core.validation.check_event`.
        """
        check_event(
            x, self.event_shape, self.support, dtype=self.dtype, device=self.device, name=name
        )

    def _require(self, query: str) -> None:
        if not self.answers(query):
            reason = self.cannot.get(query, "the model defines no answer to this query.")
            lesson = f" (lesson {self.lesson})" if self.lesson else ""
            raise CannotAnswerError(
                f"{type(self).__name__} cannot answer {query}: {reason}{lesson}"
            )
        self._require_data(query)

    def _require_data(self, method: str) -> None:
        if self.event_shape is None:
            raise NotFittedError(
                f"{type(self).__name__} has seen no data yet: call fit(x) before {method}."
            )

    def _labels(self, y: Tensor | None, count: int) -> dict[str, Tensor]:
        """Checked labels as a keyword argument for the private queries; nothing where there are
        none.
        """
        if y is None:
            return {}
        if self.classes is None:
            raise ValueError(f"y: {type(self).__name__} has no labels; leave y out.")
        check_labels(y, count, self.classes)
        return {"y": y}

    def _rows(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, ...]:
        """Checked training rows: ``(x,)`` or ``(x, y)``."""
        self.check(x)
        return (x, *self._labels(y, len(x)).values())


class EnergyModel(Model, abstract=True):
    """A density known up to a constant: p(x) = exp(−E(x)) / Z.

    A subclass writes ``_energy(x) -> (N,)``. Where events are few enough to list, log Z is a sum,
    and ``log_prob`` exact; elsewhere it raises, and lessons show what can be done instead.
    """

    density = Density.ENERGY
    largest_enumeration: ClassVar[int] = 20

    def energy(self, x: Tensor) -> Tensor:
        """Energy E(x) of each row, shape (N,), in nats: −log p(x) up to the constant log Z."""
        self.check(x)
        return self._energy(x)

    def _energy(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def log_partition(self) -> Tensor:
        """Exact log Z = log Σ_x exp(−E(x)), in nats, by listing all binary events.

        Raises
        ------
        CannotAnswerError
            The support is not binary, or has more than 2**20 events.
        """
        size = self.event_shape.numel()
        if self.support is not constraints.boolean or size > self.largest_enumeration:
            raise CannotAnswerError(
                f"{type(self).__name__} cannot list its events to find log Z: expected at most "
                f"{self.largest_enumeration} binary values an event, got {size} values in "
                f"{self.support}. "
                "Estimate it by annealed importance sampling instead."
            )
        events = binary_events(size, dtype=self.dtype, device=self.device).reshape(
            -1, *self.event_shape
        )
        return torch.logsumexp(torch.cat([-self._energy(part) for part in events.split(2**14)]), 0)

    def _log_prob(self, x: Tensor) -> Tensor:
        return -self._energy(x) - self.log_partition()


def load(path: str | Path, device: torch.device | str = "cpu") -> Model:
    """Read a model that `Model.save` wrote.

    Raises
    ------
    FileNotFoundError, DamagedFileError
        There is no such file; it is truncated, altered, or holds something else.
    ValueError
        The model's class is not known: import the module that defines it first.
    """
    saved = read_tree(path)
    if not (isinstance(saved, dict) and saved.keys() == {"model", "arguments", "weights"}):
        raise DamagedFileError(f"{path}: expected a saved model, found another kind of file.")
    if saved["model"] not in Model.registry:
        raise ValueError(
            f"{path}: holds a {saved['model']}, which is not defined; import the module that "
            "defines it."
        )
    model = Model.registry[saved["model"]](**saved["arguments"])
    dtypes = {value.dtype for value in saved["weights"].values() if value.is_floating_point()}
    for dtype in dtypes:
        model = model.to(dtype)
    model.load_state_dict(saved["weights"])
    return model.to(device).eval()
