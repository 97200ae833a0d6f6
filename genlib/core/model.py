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
import functools
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints
from torch.utils.data import DataLoader, TensorDataset

from genlib.core import parallel
from genlib.core.checkpoint import Checkpoint, fingerprint
from genlib.core.fit import Data, Hook, MakeOptimizer, Player, Run
from genlib.core.history import History
from genlib.core.hooks import EarlyStopping
from genlib.core.saving import DamagedFileError, Tagged, read_tree, write_tree
from genlib.core.shapes import declared_shape
from genlib.core.validation import (
    check_count,
    check_event,
    check_flag,
    check_labels,
    check_one_a_row,
    is_finite,
)

_QUERIES = ("log_prob", "sample", "encode")
_SHAPES = ("event_shape", "condition_shape")


class Density(enum.Enum):
    """How a class of models answers the density query."""

    EXACT = "exact"
    BOUND = "a bound"
    ENERGY = "up to the partition function"
    UNNORMALISED = "unnormalised"
    IMPLICIT = "implicit"
    CHAIN = "implicit, by a chain"
    NONE = "none"


class CannotAnswerError(NotImplementedError):
    """A query that this kind of model cannot answer; the message says why, and which lesson
    explains it.
    """


class NotFittedError(RuntimeError):
    """A query put to a model that has seen no data yet."""


class _ForClassOrInstance:
    """A method that a class answers for all its instances, and an instance for itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        functools.update_wrapper(self, function)

    def __get__(self, instance: object, owner: type) -> Callable[..., Any]:
        return functools.partial(self.function, owner if instance is None else instance)


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
        Shape of one event. ``None`` until ``fit`` where the data decide it. A subclass may declare
        a tuple or a list, which becomes a torch.Size.
    classes : int or None
        Number of labels, for models that have them: then ``y=`` conditions.
    condition_shape : torch.Size or None
        Shape of a row of ``y`` where conditions are tensors: an image, a code.
    lesson : str
        Folder of the lesson that teaches the model.
    cannot : mapping
        For each query that the model cannot answer (``"log_prob"``, ``"sample"``, ``"encode"``),
        the reason. Subclasses inherit reasons, but for the queries that they answer. An instance
        may have further ones.
    full_precision : str
        Why training must not compute in lower precision; empty where it may.
    fitted_buffers : tuple of str
        Buffers whose shapes the data decide.
    training_buffers : tuple of str
        Buffers that only training needs (chains, pools): in checkpoints, not in saved models.
    """

    density: ClassVar[Density] = Density.NONE
    lesson: ClassVar[str] = ""
    cannot: ClassVar[Mapping[str, str]] = {}
    full_precision: ClassVar[str] = ""
    registry: ClassVar[dict[str, type[Model]]] = {}

    fitted_buffers: ClassVar[tuple[str, ...]] = ()
    training_buffers: ClassVar[tuple[str, ...]] = ()

    support: constraints.Constraint = constraints.real
    event_shape: torch.Size | None = None
    classes: int | None = None
    condition_shape: torch.Size | None = None

    arguments: dict[str, Any]

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        """Enter the class in the registry, unless it is only a base for others."""
        super().__init_subclass__(**kwargs)
        answered = {query for query in _QUERIES if f"_{query}" in cls.__dict__}
        inherited = super(cls, cls).cannot
        own = cls.__dict__.get("cannot", {})
        cls.cannot = {q: why for q, why in inherited.items() if q not in answered} | dict(own)
        for name in _SHAPES:
            if name in cls.__dict__:
                setattr(cls, name, declared_shape(cls.__dict__[name], name))
        if not abstract:
            Model.registry[_registered_name(cls)] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the constructor's arguments, so that `save` can write them down."""
        self = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
        except TypeError:  # Python's own message, from the constructor, is the better one
            return self
        bound.apply_defaults()
        arguments: dict[str, Any] = {}
        for name, value in itertools.islice(bound.arguments.items(), 1, None):
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= {key: _copied(each) for key, each in value.items()}
            else:
                stars = "*" if kind is inspect.Parameter.VAR_POSITIONAL else ""
                arguments[f"{stars}{name}"] = _copied(value)
        object.__setattr__(self, "arguments", arguments)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """As `torch.nn.Module` does; a shape becomes a torch.Size."""
        super().__setattr__(name, declared_shape(value, name) if name in _SHAPES else value)

    # ------------------------------------------------------------------ the three queries

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Log density (log mass on discrete support) of each row of ``x``, given ``y`` where labels
        are given.

        Parameters
        ----------
        x : Tensor, shape (N, \\*event_shape)
        y : Tensor of int64, shape (N,), or (N, \\*condition_shape), optional
            Labels to condition on, for models that have labels; or conditions of another kind.
            Without them the answer is the marginal.

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
        condition = self._condition(y, len(x))
        log_p = self._log_prob(x) if condition is None else self._log_prob(x, condition)
        check_one_a_row(log_p, x, f"{type(self).__name__}._log_prob")
        return log_p

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
        self._require_finite_parameters()
        condition = self._condition(y, n)
        if condition is None:
            return self._sample(n, generator)
        return self._sample(n, generator, condition)

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

    @_ForClassOrInstance
    def answers(self: Model | type[Model], query: str) -> bool:
        """Whether this model, or models of this class, answer ``query``: ``"log_prob"``,
        ``"sample"`` or ``"encode"``.
        """
        kind = self if isinstance(self, type) else type(self)
        written = getattr(kind, f"_{query}") is not getattr(Model, f"_{query}")
        return written and query not in self.cannot

    # ------------------------------------------------------------------ fitting

    def fit(
        self,
        x: Tensor | DataLoader,
        y: Tensor | None = None,
        *,
        valid: Tensor | tuple[Tensor, Tensor] | DataLoader | None = None,
        epochs: int = 10,
        batch_size: int = 128,
        lr: float | None = None,
        optimizer: MakeOptimizer | None = None,
        clip_norm: float | None = None,
        precision: torch.dtype | None = None,
        patience: int | None = None,
        hooks: Sequence[Hook] = (),
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: bool | None = None,
    ) -> History:
        """Train by minibatch gradient steps.

        Parameters
        ----------
        x : Tensor, shape (N, \\*event_shape), or torch.utils.data.DataLoader
            Rows; or a loader of batches, for data that change from epoch to epoch, come in pairs
            of sets, or do not fit into memory. Of a loader's batches the first is checked.
        y : Tensor of int64, shape (N,), or (N, \\*condition_shape), optional
            Labels or conditions, for models that have them.
        valid : Tensor, (Tensor, Tensor) or DataLoader, optional
            Held-out rows (with their labels), on which `validation_loss` is recorded after each
            epoch.
        epochs, batch_size : int
            Where several processes train the model, ``batch_size`` is the sum over them.
        lr : float, optional
            Learning rate of Adam, the default optimiser: 0.001.
        optimizer : callable, optional
            Makes another optimiser out of parameters, as in ``functools.partial(torch.optim.SGD,
            lr=0.1)``: for all players, also those who bring their own.
        clip_norm : float, optional
            Largest norm of a gradient; longer ones are shortened to it.
        precision : torch.dtype, optional
            ``torch.bfloat16``, for `torch.autocast`.
        patience : int, optional
            Stop after so many epochs without a better validation loss, and go back to the best
            weights: `EarlyStopping` as the last hook.
        hooks : sequence of Hook
            Schedules, averaged weights, further columns: see `genlib.core.hooks`.
        checkpoint : path, optional
            File to write, atomically, after epochs, so often that it takes a tenth of the time; and
            after the last one.
        resume : bool
            Go on from ``checkpoint`` if it exists. On a CPU the numbers are those of the
            uninterrupted run, bit for bit. Only ``epochs`` may differ, and be larger. Of functions
            within hooks, datasets and samplers a checkpoint knows nothing.
        progress : bool, optional
            Show a progress bar; by default where somebody can watch it.

        Returns
        -------
        History
            A row an epoch.

        Raises
        ------
        TrainingDivergedError
            A loss or gradient stopped being finite; or the validation loss, watched for
            ``patience``, never was.
        FileExistsError, WrongCheckpointError, DamagedFileError
            ``checkpoint`` exists and ``resume`` is false; it belongs to another run; it cannot be
            read.
        TypeError, ValueError
            The data are not what the model describes, or a setting is not what it must be.
        """
        if precision is not None:
            self._check_precision(precision)
        if patience is not None:
            hooks = [*hooks, EarlyStopping(patience)] if isinstance(hooks, Sequence) else hooks
        check_count(epochs, "epochs")
        with parallel.together():
            self._check_buffer_names()
            data = self._data(x, y)
            held_out = None if valid is None else self._held_out(valid)
            _check_workers((data, held_out), checkpoint)
        what: dict[str, Any] = {}
        if checkpoint is not None or parallel.world() > 1:  # a look at all of the data
            what = {"batch_size": batch_size, "data": _digest(data), "valid": _digest(held_out)}
            parallel.check_same(what | {"epochs": epochs})
        run = Run(
            self,
            optimizer=optimizer,
            lr=lr,
            clip_norm=clip_norm,
            precision=precision,
            hooks=hooks,
            validated=valid is not None,
        )
        if parallel.world() > 1:
            parallel.check_same(_description(self) | run.identity())
        return run.train(
            data,
            valid=held_out,
            epochs=epochs,
            batch_size=batch_size,
            checkpoint=self._checkpoint(checkpoint, resume, what | run.identity()),
            progress=progress,
        )

    def loss(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Quantity that training minimises on a batch: the mean negative log-likelihood where there
        is one, in nats.

        It is computed at every step and trusts its input: `fit` has checked the rows.
        """
        if not self.answers("log_prob"):
            raise NotImplementedError(
                f"{type(self).__name__} has no log_prob to maximise and defines no loss of its "
                "own; a game that is given valid= must say what to watch, in validation_loss."
            )
        log_p = self._log_prob(x) if y is None else self._log_prob(x, y)
        check_one_a_row(log_p, x, f"{type(self).__name__}._log_prob")
        return -log_p.mean()

    def validation_loss(self, *batch: Tensor) -> Tensor:
        """Mean loss on held-out rows; `loss` unless a model has something better to watch."""
        return self.loss(*batch)

    def begin(self, data: Data) -> None:
        """What a model takes from its data before the first step, by other means than steps.

        ``data`` is a tuple of checked rows and perhaps labels, or a loader. Training that goes on
        from a checkpoint has begun before.
        """

    def players(self) -> Sequence[Player]:
        """Who moves in training: one player over all parameters that are not frozen, unless the
        model is a game.
        """
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [Player("model", trained, self.loss)]

    # ------------------------------------------------------------------ saving

    def save(self, path: str | Path) -> None:
        """Write the constructor's arguments and the weights to one safetensors file, atomically.

        An argument may be a model itself: its weights are written as those of a submodule.
        """
        left_out = self._training_names()
        weights = {name: value for name, value in self.state_dict().items() if name not in left_out}
        write_tree(path, {**_description(self), "weights": weights})

    def _training_names(self) -> set[str]:
        """Names of all training buffers, those of models within the model included."""
        return {
            f"{prefix}.{name}".lstrip(".")
            for prefix, module in self.named_modules(remove_duplicate=False)
            if isinstance(module, Model)
            for name in module.training_buffers
        }

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        for name in (*self.fitted_buffers, *self.training_buffers):
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
        state = self._state
        return torch.get_default_dtype() if state is None else state.dtype

    @property
    def device(self) -> torch.device:
        """Device on which the model lives."""
        state = self._state
        return torch.device("cpu") if state is None else state.device

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

    def _require_finite_parameters(self) -> None:
        """Raise where a parameter is NaN or infinite: what is drawn would look like data."""
        for name, parameter in self.named_parameters():
            if not is_finite(parameter):
                raise ValueError(
                    f"{type(self).__name__}: expected finite parameters to sample from, found NaN "
                    f"or infinity in {name}; train or load the model again."
                )

    def _condition(self, y: Tensor | None, count: int, name: str = "y") -> Tensor | None:
        """``y`` as it came, checked to be labels or conditions of this model, one a row."""
        if y is None:
            return None
        if self.classes is not None:
            check_labels(y, count, self.classes, name)
            if y.device != self.device:
                raise ValueError(
                    f"{name}: the model is on {self.device}, the labels on {y.device}; move one to "
                    f'the other, as in {name}.to("{self.device}").'
                )
        elif self.condition_shape is not None:
            check_event(y, self.condition_shape, dtype=self.dtype, device=self.device, name=name)
            if len(y) != count:
                raise ValueError(f"{name}: expected one condition a row, {count}, got {len(y)}.")
        else:
            raise ValueError(f"{name}: {type(self).__name__} has no labels; leave {name} out.")
        return y

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        """Raise unless the model can be trained on a batch ``(x,)`` or ``(x, y)`` like this one.

        Models that train on other batches (pairs of sets, say) check them in a method of their own.
        """
        if len(batch) not in (1, 2):
            raise ValueError(f"{name}: expected batches (x,) or (x, y), got {len(batch)} tensors.")
        self.check(batch[0], name)
        label = "y" if name == "x" else f"y of {name}"
        self._condition(batch[1] if len(batch) == 2 else None, len(batch[0]), label)

    def _data(self, x: Tensor | DataLoader, y: Tensor | None, name: str = "x") -> Data:
        """Rows to train on or to be judged by, checked; a loader as it came."""
        if isinstance(x, DataLoader):
            if y is not None:
                raise ValueError("y: expected the loader to yield the labels; leave y out.")
            return x
        batch = (x,) if y is None else (x, y)
        self.check_batch(*batch, name=name)
        return batch

    def _held_out(self, valid: Tensor | tuple[Tensor, Tensor] | DataLoader) -> Data:
        if isinstance(valid, tuple) and len(valid) != 2:
            raise ValueError(f"valid: expected rows, or a pair (x, y), got {len(valid)} parts.")
        held_out = self._data(*(valid if isinstance(valid, tuple) else (valid, None)), "valid")
        self._require_validation()
        return held_out

    def _require_validation(self) -> None:
        """Raise where the model has nothing to watch: now, and not after the first epoch."""
        kind = type(self)
        if kind.validation_loss is Model.validation_loss and kind.loss is Model.loss:
            self._require("log_prob")

    def _check_buffer_names(self) -> None:
        for name in (*self.fitted_buffers, *self.training_buffers):
            if name not in self._buffers or name in self._non_persistent_buffers_set:
                raise ValueError(
                    f"{type(self).__name__}: expected {name!r}, which is to be in checkpoints, to "
                    "be a persistent buffer; see register_buffer."
                )

    def _check_precision(self, precision: object) -> None:
        if precision is not torch.bfloat16:
            raise ValueError(
                f"precision: expected torch.bfloat16, got {precision}; float16 would need its "
                "gradients scaled."
            )
        if self.full_precision:
            raise ValueError(
                f"precision: {type(self).__name__} computes in its own: {self.full_precision}"
            )
        if self.dtype != torch.float32:
            raise ValueError(
                f"precision: expected a model in torch.float32 to compute some parts in bfloat16, "
                f"got one in {self.dtype}."
            )

    def _checkpoint(
        self, path: str | Path | None, resume: bool, what: Mapping[str, Any]
    ) -> Checkpoint | None:
        check_flag(resume, "resume")
        if path is None:
            if resume:
                raise ValueError("resume: expected checkpoint=, the file from which to go on.")
            return None
        identity = {**_description(self), "dtype": str(self.dtype), **what}
        opened = Checkpoint(path, identity, resume=resume)
        parallel.wait()  # no process may write before all have looked
        return opened


def load(path: str | Path, device: torch.device | str = "cpu") -> Model:
    """Read a model that `Model.save` wrote.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, DamagedFileError
        There is no such file; it is a folder; it is truncated, altered, or holds something else.
    ValueError
        The model's class is not known: import the module that defines it first.
    """
    saved = read_tree(path)
    if not (isinstance(saved, dict) and saved.keys() == {"model", "arguments", "weights"}):
        raise DamagedFileError(f"{path}: expected a saved model, found another kind of file.")
    with torch.random.fork_rng(devices=[]):  # initial weights, which are thrown away, are nobody's
        model = _built(saved["model"], saved["arguments"], path, [])
    tensors = dict(itertools.chain(model.named_parameters(), model.named_buffers()))
    for name, value in saved["weights"].items():
        if name in tensors:  # each keeps the dtype in which it was saved
            tensors[name].data = tensors[name].data.to(value.dtype)
    try:
        missing, unexpected = model.load_state_dict(saved["weights"], strict=False)
    except RuntimeError as error:  # shapes that differ
        raise DamagedFileError(
            f"{path}: expected the weights of a {saved['model']}, found others: {error}"
        ) from error
    if unexpected or set(missing) - model._training_names():
        raise DamagedFileError(
            f"{path}: expected the weights of a {saved['model']}, found others: "
            f"{', '.join([*missing, *unexpected][:3])}."
        )
    return model.to(device).eval()


def _registered_name(kind: type[Model]) -> str:
    """The name under which files know a class: genlib's own need no module beside it."""
    if kind.__module__.split(".")[0] == "genlib":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _description(model: Model, seen: dict[int, int] | None = None) -> dict[str, Any]:
    """A model's class and its constructor's arguments, models among them described likewise.

    ``seen`` numbers the models that are described already, by their ``id``: of a model that is
    given twice, the number is enough.
    """
    seen = {} if seen is None else seen
    for name, value in model.arguments.items():
        if name.startswith("*") and value:
            raise TypeError(
                f"cannot save a {type(model).__name__}: expected a constructor whose arguments "
                f"have names, got values for {name}."
            )
        _check_held(model, value)
    return {
        "model": _registered_name(type(model)),
        "arguments": {name: _described(value, seen) for name, value in model.arguments.items()},
    }


def _check_held(model: Model, value: Any) -> None:
    """Raise where a model among the arguments has weights that are not the model's own."""
    if isinstance(value, Model):
        inner = [part for part in model.modules() if part is not model]
        if value.state_dict() and not any(isinstance(part, type(value)) for part in inner):
            raise TypeError(
                f"cannot save a {type(model).__name__}: expected the {type(value).__name__} it was "
                "made of to be a submodule, so that its weights are saved; keep it as an "
                "attribute, several in a torch.nn.ModuleList."
            )
    elif isinstance(value, list | tuple | nn.ModuleList):
        for part in value:
            _check_held(model, part)


def _copied(value: Any) -> Any:
    """``value``, an argument, as it is now: the caller may change it later. Models stay."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(map(_copied, value))
    if type(value) is dict:
        return {name: _copied(each) for name, each in value.items()}
    return value


def _check_workers(data: Sequence[Data | None], checkpoint: object) -> None:
    for part in data:
        if checkpoint is not None and isinstance(part, DataLoader) and part.persistent_workers:
            raise ValueError(
                "checkpoint: expected a loader without persistent_workers, whose random numbers no "
                "checkpoint can hold."
            )


def _described(value: Any, seen: dict[int, int]) -> Any:
    """``value``, an argument, with the models in it replaced by their descriptions."""
    if isinstance(value, Model):
        if id(value) in seen:
            return Tagged("the same model", seen[id(value)])
        description = Tagged("model", _description(value, seen))
        seen[id(value)] = len(seen)
        return description
    if isinstance(value, list | tuple | nn.ModuleList):
        kind = tuple if isinstance(value, tuple) else list
        return kind(_described(part, seen) for part in value)
    if isinstance(value, Mapping):
        return {name: _described(part, seen) for name, part in value.items()}
    return value


def _built(name: str, arguments: Mapping[str, Any], path: str | Path, built: list[Model]) -> Model:
    """A model of class ``name``, newly made from described arguments; ``built`` are the models that
    have been made for them so far, in the order in which they were described.
    """
    if name not in Model.registry:
        raise ValueError(
            f"{path}: holds a {name}, which is not defined; import the module that defines it."
        )
    model = Model.registry[name](
        **{key: _undescribed(value, path, built) for key, value in arguments.items()}
    )
    built.append(model)
    return model


def _undescribed(value: Any, path: str | Path, built: list[Model]) -> Any:
    if isinstance(value, Tagged):
        if value.tag == "the same model":
            return built[value.tree]
        return _built(value.tree["model"], value.tree["arguments"], path, built)
    if isinstance(value, list | tuple):
        return type(value)(_undescribed(part, path, built) for part in value)
    if isinstance(value, Mapping):
        return {name: _undescribed(part, path, built) for name, part in value.items()}
    return value


def _digest(data: Data | None) -> str:
    """What tells whether two runs have the same data. Of a loader's rows, only those of a
    `TensorDataset` can be known beforehand.
    """
    if data is None:
        return "none"
    if not isinstance(data, DataLoader):
        return fingerprint(data)
    rows = len(data.dataset) if hasattr(data.dataset, "__len__") else "?"
    known = fingerprint(data.dataset.tensors) if isinstance(data.dataset, TensorDataset) else "rows"
    dealt = f"{type(data.sampler).__qualname__}, batches of {data.batch_size}"
    ends = "without" if data.drop_last else "with"
    return f"{type(data.dataset).__qualname__}, {rows} {known}, {dealt}, {ends} a short last one"
