"""The auxiliary-classifier GAN: a discriminator that also says the class of a row.

Source: Odena, Olah and Shlens (2017), "Conditional image synthesis with auxiliary classifier GANs";
the chapter on conditional adversarial networks of document C.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.validation import check_positive
from genlib.models.adversarial.conditional import ConditionalGAN
from genlib.models.adversarial.costs import Cost
from genlib.models.adversarial.gan import check_settings
from genlib.nn.modes import evaluating


class ACGAN(ConditionalGAN):
    """Auxiliary-classifier GAN: x = G(z, y), and a discriminator that has to find y out.

    The discriminator is not told the label. It says of a row whether it looks real, v(x), and
    which class it looks to be of, P(y | x). With w the ``class_weight``, and real and generated
    rows that come with the same labels, those of the batch::

        discriminator:  L_D(v(x), v(G(z, y)))  −  w E[log P(y | x)]  −  w E[log P(y | G(z, y))]
        generator:      L_G(v(G(z, y)))                              −  w E[log P(y | G(z, y))]

    L_D and L_G being those of the ``cost``. Both players want the class of a row to be seen. The
    price: a generator does best to draw rows whose class is beyond doubt, and leaves out those
    where p(y | x) is shared, whatever the data do.

    Parameters
    ----------
    generator : torch.nn.Module
        (N, latent + classes) to events: the label stands behind z, one-hot.
    discriminator : torch.nn.Module
        Events to (N, 1 + classes): the logit, then a score for each class, no probability: their
        softmax is P(y | x).
    cost : str or Cost
        See `GAN`.
    latent : int
    classes : int
        y is a label in 0 … classes − 1.
    class_weight : float
        w, zero or more.
    **settings
        As for `GAN`.

    Raises
    ------
    TypeError, ValueError
        A setting is not what it must be; see also `GAN`.

    Notes
    -----
    ``fit``, ``sample``, ``decode``, ``interpolate`` and ``invert`` need ``y``; ``logits`` and
    ``classify`` do not.

    References
    ----------
    Odena, Olah and Shlens (2017), ICML, equations 2 and 3.

    Examples
    --------
    >>> from genlib.models.adversarial.networks import mlp_generator
    >>> networks = mlp_generator(latent=3 + 10), nn.Sequential(nn.Linear(2, 1 + 10))
    >>> model = ACGAN(*networks, latent=3, classes=10)
    >>> model.classify(model.sample(4, torch.tensor([7, 7, 0, 1]))).shape
    torch.Size([4, 10])
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        cost: str | Cost = "non-saturating",
        *,
        latent: int,
        classes: int,
        class_weight: float = 1.0,
        **settings: Any,
    ) -> None:
        check_settings(ACGAN, settings)
        check_positive(class_weight, "class_weight", zero=True)
        self.class_weight = class_weight
        super().__init__(generator, discriminator, cost, latent=latent, classes=classes, **settings)

    def discriminator_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The discriminator's loss on real rows ``x`` and as many new ones of the same labels."""
        self._check_batch_of_one(x)
        with torch.no_grad():
            fake = self._fakes(x, y)
        (of_real, real_scores), (of_fake, fake_scores) = self._outputs(x), self._outputs(fake)
        loss = self.cost.discriminator(of_real, of_fake) + self._penalty(self._logits, x, fake)
        mistaken = F.cross_entropy(real_scores, y) + F.cross_entropy(fake_scores, y)
        return loss + self.class_weight * mistaken

    def generator_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The generator's loss on new rows of the labels ``y``."""
        self._check_batch_of_one(x)
        logits, scores = self._outputs(self._fakes(x, y))
        return self.cost.generator(logits) + self.class_weight * F.cross_entropy(scores, y)

    def classify(self, x: Tensor) -> Tensor:
        """P(y | x) of each row, (N, classes), in evaluation mode; ``argmax(1)`` is the most
        probable class.
        """
        self.check(x)
        with evaluating(self.discriminator):
            return self._outputs(x)[1].softmax(1)

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the discriminator says of events, (N,), in evaluation mode: it is told no label, and
        ``y`` may be left out.
        """
        self.check(x)
        if y is not None:
            self._condition(y, len(x))
        with evaluating(self.discriminator):
            return self._logits(x)

    def _logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self._outputs(x)[0]

    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N,) and scores of the classes (N, classes)."""
        what = f"{self.classes} scores of classes"
        return self._parted(self.discriminator(x), x, self.classes, what)
