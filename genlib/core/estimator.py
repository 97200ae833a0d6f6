"""Models that are fitted in one go: densities, tables, k-means, mixtures, principal components."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from genlib.core.history import History
from genlib.core.model import Model
from genlib.core.shapes import declared_shape
from genlib.core.validation import check_event


class Estimator(Model, abstract=True):
    """A model that ``fit`` computes from the rows, without a learning rate.

    A subclass names its ``fitted_buffers`` and fills them in ``_estimate``. Where the data decide
    the shape of an event, rows are (N, d), and the first fitted buffer has d as its last dimension.
    """

    def __init__(self, event_shape: torch.Size | None = None) -> None:
        super().__init__()
        self._given_shape = declared_shape(event_shape, "event_shape")
        for name in self.fitted_buffers:
            self.register_buffer(name, torch.empty(0))

    @property
    def event_shape(self) -> torch.Size | None:
        """The shape that the constructor was given, or ``(d,)`` once fitted."""
        if self._given_shape is not None:
            return self._given_shape
        first = getattr(self, self.fitted_buffers[0])
        return first.shape[-1:] if first.numel() else None

    def fit(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        valid: Tensor | tuple[Tensor, Tensor] | None = None,
        **settings: Any,
    ) -> History:
        """Fit the model to the rows of ``x``.

        Parameters
        ----------
        x : Tensor, shape (N, d), or (N, \\*event_shape)
        y : Tensor of int64, shape (N,), optional
            Labels, for models that have them.
        valid : Tensor or (Tensor, Tensor), optional
            Held-out rows (with their labels); `validation_loss` of them is recorded as ``valid``.
        **settings
            What else the model takes: see its class.

        Returns
        -------
        History
            One row; where a setting was chosen by search, or the fit takes several iterations, one
            row each.

        Raises
        ------
        TypeError, ValueError
            The rows or a setting are not what they must be.
        """
        self._check_names(settings)
        batch = self._training_rows(x, y)
        held_out = () if valid is None else self._held_out_rows(valid, batch)
        history = self._estimate(*(part.detach() for part in batch), held_out=held_out, **settings)
        self.eval()
        if held_out and "valid" not in history.names:
            with torch.no_grad():
                history.append(valid=self.validation_loss(*held_out).item())
        return history

    def _estimate(self, x: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        """Fill the buffers from ``x``, which is the caller's: a model that keeps it keeps a copy.

        ``held_out`` is empty where there are no held-out rows.
        """
        raise NotImplementedError

    def _check_names(self, settings: Iterable[str]) -> None:
        """Raise where `_estimate` has no such setting."""
        known = signature(self._estimate).parameters.values()
        names = [p.name for p in known if p.kind is p.KEYWORD_ONLY and p.name != "held_out"]
        for name in settings:
            if name not in names:
                expected = f"expected one of {', '.join(names)}" if names else "it has none"
                raise TypeError(
                    f"{type(self).__name__}.fit: {expected} as a setting, got {name!r}."
                )

    def _training_rows(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, ...]:
        """What the model is fitted to, checked: ``(x,)`` or ``(x, y)``."""
        self._check_rows(x, self._given_shape, "x")
        return (x,) if y is None else (x, self._condition(y, len(x)))

    def _held_out_rows(
        self, valid: Tensor | tuple[Tensor, Tensor], batch: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Held-out rows, checked to be like those of ``batch``."""
        if not self.answers("log_prob"):
            self._require_validation()
        x, *labels = valid if isinstance(valid, tuple) else (valid,)
        self._check_rows(x, batch[0].shape[1:], "valid")
        return (x, *(self._condition(y, len(x)) for y in labels))

    def _check_rows(self, x: Tensor, event_shape: torch.Size | None, name: str) -> None:
        check_event(x, event_shape, self.support, dtype=self.dtype, device=self.device, name=name)
        if event_shape is None and x.dim() != 2:
            mend = (
                f"flatten with {name}.flatten(1)"
                if x.dim() > 2
                else f"{name}.unsqueeze(1) makes rows of one value"
            )
            raise ValueError(
                f"{name}: expected a matrix of shape (N, d), got {tuple(x.shape)}; {mend}."
            )
