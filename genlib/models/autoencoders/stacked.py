"""Autoencoders on top of each other, trained layer by layer, together, or with labels.

Sources: the chapters on stacked autoencoders of documents U and C; Bengio, Lamblin, Popovici and
Larochelle (2007), "Greedy layer-wise training of deep networks"; Vincent et al. (2010), "Stacked
denoising autoencoders".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from genlib.core import History
from genlib.core.rows import row_chunks
from genlib.core.validation import check_count
from genlib.models.autoencoders.autoencoder import Autoencoder, Reconstruction


class StackedAutoencoder(Reconstruction):
    """Autoencoders of which each encodes the codes of the one below.

    Its encoder is f_L ∘ … ∘ f_1 and its decoder g_1 ∘ … ∘ g_L. `pretrain` trains them one after the
    other, the lowest first, each by its own loss on the codes that those below give of clean rows.
    ``fit(x)`` trains all of them together by the error of the lowest. Where there are ``classes``,
    ``fit(x, y)`` trains the encoders, and a linear layer on the top code, by the cross-entropy of
    the labels. It answers no density, as `Autoencoder` says.

    Parameters
    ----------
    layers : sequence of Autoencoder
        Of any kind, the lowest first; the events of each are the codes of the one below. They are
        kept, not copied.
    classes : int, optional
        Number of labels, for `predict`.

    Raises
    ------
    TypeError, ValueError
        A layer is no autoencoder, or does not fit onto the one below.

    Examples
    --------
    >>> low, high = Autoencoder(64, 20, ()), Autoencoder(20, 2, ())
    >>> StackedAutoencoder([low, high]).encode(torch.zeros(3, 64)).shape
    torch.Size([3, 2])
    """

    def __init__(self, layers: Sequence[Autoencoder], classes: int | None = None) -> None:
        super().__init__()
        _check_layers(layers)
        self.layers = nn.ModuleList(layers)
        self.event_shape, self.latent = layers[0].event_shape, layers[-1].latent
        self.error = layers[0].error
        if classes is not None:
            check_count(classes, "classes", minimum=2)
            self.classes = classes
            self.head = nn.Linear(self.latent, classes).to(self.device, self.dtype)

    def fit(
        self,
        x: Tensor | DataLoader,
        y: Tensor | None = None,
        *,
        valid: Tensor | tuple[Tensor, Tensor] | DataLoader | None = None,
        **settings: Any,
    ) -> History:
        """Train all layers together by the error of the lowest; with labels ``y``, the encoders and
        the linear layer by their cross-entropy. Held-out rows have labels where ``x`` has.

        Parameters and errors are those of `Model.fit`.
        """
        self._check_alike(x, y, valid)
        return super().fit(x, y, valid=valid, **settings)

    def pretrain(self, x: Tensor, *, valid: Tensor | None = None, **settings: Any) -> list[History]:
        """Train each layer on the codes of those below, by its own loss.

        Parameters
        ----------
        x : Tensor, shape (N, \\*shape)
        valid : Tensor, optional
            Held-out rows, encoded likewise.
        **settings
            As for ``fit``, for every layer alike, but without a checkpoint.

        Returns
        -------
        list of History
            One a layer.
        """
        if settings.get("checkpoint") is not None:
            raise ValueError("checkpoint: expected none; fit the layers one by one to keep some.")
        self.check(x)
        if valid is not None:
            self.check(valid, "valid")
        histories = []
        for layer in self.layers:
            histories.append(layer.fit(x, valid=valid, **settings))
            x, valid = (None if rows is None else _codes(layer, rows) for rows in (x, valid))
        return histories

    def loss(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Mean error of the rows; with labels their mean cross-entropy, in nats."""
        if y is None:
            return super().loss(x)
        return F.cross_entropy(self._logits(x), y)

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x) of the linear layer on the code, (N, classes)."""
        self._require_classes("predict_proba")
        self.check(x)
        return self._logits(x).softmax(1)

    def predict(self, x: Tensor) -> Tensor:
        """The most probable label of each row, int64 of shape (N,)."""
        self._require_classes("predict")
        self.check(x)
        return self._logits(x).argmax(1)

    def _logits(self, x: Tensor) -> Tensor:
        return self.head(self._encoded(x))

    def _encoded(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer._encoded(x)
        return x

    def _decoded(self, z: Tensor) -> Tensor:
        first, *others = self.layers
        for layer in reversed(others):
            z = layer._mean(layer._decoded(z))
        return first._decoded(z)

    @staticmethod
    def _check_alike(x: object, y: object, valid: object) -> None:
        """Raise where one of the losses recorded would be of labels and the other of rows."""
        if valid is None or isinstance(x, DataLoader) or isinstance(valid, DataLoader):
            return
        if isinstance(valid, tuple) != (y is not None):
            expected = "rows alone, without" if y is None else "a pair (x, y), with"
            raise ValueError(
                f"valid: expected {expected} labels, as in training, whose loss is another where "
                "there are some."
            )

    def _require_classes(self, method: str) -> None:
        if self.classes is None:
            raise ValueError(
                f"{method}: this stack has no labels; make it with classes=, and fit(x, y)."
            )


def _check_layers(layers: object) -> None:
    if not isinstance(layers, Sequence | nn.ModuleList) or not len(layers):
        raise TypeError(
            f"layers: expected a list of autoencoders, at least one, got {layers!r:.60}."
        )
    for layer in layers:
        if not isinstance(layer, Autoencoder):
            raise TypeError(f"layers: expected autoencoders, got a {type(layer).__name__}.")
    if len({id(layer) for layer in layers}) < len(layers):
        raise ValueError("layers: expected autoencoders that differ, got one of them twice.")
    kinds = {(layer.dtype, layer.device) for layer in layers}
    if len(kinds) > 1:
        found = " and ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ValueError(f"layers: expected one dtype and one device, got {found}.")
    for number, (below, above) in enumerate(itertools.pairwise(layers), 2):
        if above.event_shape != (below.latent,):
            raise ValueError(
                f"layers: expected layer {number} to encode the {below.latent} units of the code "
                f"below, shape ({below.latent},), got one for shape {tuple(above.event_shape)}."
            )


@torch.no_grad()
def _codes(layer: Autoencoder, rows: Tensor) -> Tensor:
    return torch.cat([layer._encoded(part) for part in row_chunks(rows)])
