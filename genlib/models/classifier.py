"""A small convolutional classifier, whose hidden units serve as features of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F

from genlib.core import Density, Model
from genlib.core.shapes import check_halvings, check_image_shape
from genlib.core.validation import check_count, check_counts
from genlib.nn.dense import ConvolutionalEncoder


class Classifier(Model):
    """p(y | x) for images in [0, 1], by strided convolutions, a layer of features and a softmax.

    It says nothing of how probable an image is, and draws none. It is here to judge those that do:
    by the labels that it finds in their samples, and by the distance between the features of
    samples and of data, as `genlib.metrics` computes it.

    Parameters
    ----------
    shape : sequence of int
        (C, H, W); H and W can be halved as often as there are ``channels``.
    classes : int
    channels : sequence of int
        Of the convolutions, 4 × 4 with stride 2, each followed by rectified linear units.
    features : int
        Rectified linear units after the convolutions: what ``encode`` gives.

    Raises
    ------
    TypeError, ValueError
        A size is no positive integer; the sides cannot be halved so often; fewer than two classes.

    Examples
    --------
    >>> from torch import rand
    >>> model = Classifier((1, 8, 8), classes=3, channels=(4, 8), features=5)
    >>> model.predict(rand(2, 1, 8, 8)).shape, model.encode(rand(2, 1, 8, 8)).shape
    (torch.Size([2]), torch.Size([2, 5]))
    """

    density = Density.NONE
    support = constraints.unit_interval
    lesson = "19_convolutional_gans"
    cannot: ClassVar = {
        "log_prob": "it tells p(y | x), and nothing of how probable x is.",
        "sample": "it has learned to name images, not to draw them.",
    }

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        classes: int = 10,
        channels: Sequence[int] = (32, 64),
        features: int = 64,
    ) -> None:
        super().__init__()
        self.event_shape = check_image_shape(shape)
        check_counts(channels, "channels")
        if not channels:
            raise ValueError("channels: expected at least one convolution, got none.")
        check_halvings(self.event_shape, len(channels))
        check_count(classes, "classes", minimum=2)
        check_count(features, "features")
        self.classes = classes
        self.body = ConvolutionalEncoder(self.event_shape, channels, [features])
        self.head = nn.Linear(features, classes)

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        """Raise unless this is a batch of images and their labels, (x, y)."""
        if len(batch) != 2:
            raise ValueError(
                f"{name}: expected images with labels, as in fit(x, y), got no labels."
            )
        super().check_batch(*batch, name=name)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy of the labels, in nats."""
        return F.cross_entropy(self._logits(x), y)

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x), (N, classes)."""
        self.check(x)
        return self._logits(x).softmax(1)

    def predict(self, x: Tensor) -> Tensor:
        """The most probable label of each image, int64 of shape (N,)."""
        self.check(x)
        return self._logits(x).argmax(1)

    def _logits(self, x: Tensor) -> Tensor:
        return self.head(self._encode(x))

    def _encode(self, x: Tensor) -> Tensor:
        return self.body(x).relu()
