"""Generative adversarial networks over any two networks, and the Wasserstein one.

Sources: the chapters on adversarial networks of documents C and U; Goodfellow et al. (2014),
"Generative adversarial nets"; Arjovsky, Chintala and Bottou (2017), "Wasserstein generative
adversarial networks"; Gulrajani et al. (2017), "Improved training of Wasserstein GANs".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam

from genlib.core import Density, Player
from genlib.core.fit import MakeOptimizer
from genlib.core.random import normal, uniform
from genlib.core.validation import (
    check_choice,
    check_count,
    check_event,
    check_positive,
    check_tensor,
)
from genlib.models.adversarial.costs import Cost, smoothed
from genlib.models.adversarial.game import (
    Game,
    check_modules,
    check_unbounded,
    has_batch_norm,
    logits_of,
    probed,
    range_of,
)
from genlib.nn.dense import one_tensor
from genlib.nn.modes import evaluating

PATHS = ("spherical", "linear")

SETTINGS = (  # of every game, which the classes below hand on to `GAN`
    *("discriminator_steps", "generator_steps", "smoothing", "gradient_penalty"),
    *("discriminator_optimizer", "generator_optimizer"),
)

_DRAWN_AT_ONCE = 1024  # events: those of a large sample are made in parts


class GAN(Game):
    """Generative adversarial network: x = G(z) with z ~ N(0, I), trained against a discriminator.

    The discriminator learns to tell the rows of the data from those of the generator, the generator
    to draw rows that it takes for data; the ``cost`` says what each of them minimises. This defines
    samples, but no density that could be evaluated: where the latent variables are fewer than the
    values of an event, the generator's rows lie on a surface of volume zero.

    Parameters
    ----------
    generator : torch.nn.Module
        (N, latent) to events (N, \\*event_shape). Where its last operation is a sigmoid or tanh, or
        it has a ``support``, one of `torch.distributions.constraints`, data outside are refused.
    discriminator : torch.nn.Module
        Events to logits, (N,) or (N, 1): any real numbers, larger for what looks real.
    cost : str or Cost
        ``"minimax"``, ``"non-saturating"``, ``"least-squares"``, ``"wasserstein"``, ``"hinge"``,
        ``"forward-kl"``, ``"reverse-kl"``, ``"jensen-shannon"``; see
        `genlib.models.adversarial.costs`.
    latent : int
        Number of latent variables.
    discriminator_steps, generator_steps : int
        Steps a round, those of the discriminator first.
    smoothing : float
        α of one-sided label smoothing: real rows have the label 1 − α, generated ones 0.
    gradient_penalty : float
        Weight of the penalty on the discriminator's slope; see `gradient_penalty`.
    discriminator_optimizer, generator_optimizer : callable, optional
        Makes a player's optimiser, as in ``functools.partial(torch.optim.Adam, lr=1e-4)``, where
        the two are to differ; else ``fit`` makes both.

    Raises
    ------
    TypeError, ValueError
        A setting is not what it must be; the discriminator has other outputs, among them two
        columns or probabilities; or batch norm is in a discriminator whose slope is penalised.

    Notes
    -----
    While it trains, the discriminator sees real and generated rows in two passes, so that batch
    norm takes its statistics of one kind at a time. Samples, events of given z, logits and
    inversion are those of the networks in evaluation mode: no row depends on those beside it, but
    for layers that are to look at the whole batch, such as
    `genlib.nn.minibatch.MinibatchDiscrimination`.

    The history's columns ``discriminator`` and ``generator`` are their losses, which need not fall
    while the samples become better: watch those, with `genlib.core.hooks.Watch`. ``fit`` takes no
    ``valid``. Averaged weights (`genlib.core.hooks.WeightAverage`) are those of both networks.

    A model of networks of your own, or a cost of your own, cannot be written by `save`, since no
    file could say how to make them: keep its ``state_dict``, and load it into a model made in the
    same way. Checkpoints tell such networks apart by how torch prints them.

    References
    ----------
    Goodfellow et al. (2014), "Generative adversarial nets", NeurIPS.

    Examples
    --------
    >>> from genlib.models.adversarial.networks import mlp_discriminator, mlp_generator
    >>> model = GAN(mlp_generator(latent=3), mlp_discriminator(), latent=3)
    >>> model.sample(5).shape, model.logits(torch.zeros(4, 2)).shape
    (torch.Size([5, 2]), torch.Size([4]))
    """

    density = Density.IMPLICIT
    lesson = "17_adversarial_game"
    cannot: ClassVar = {
        "log_prob": "the generator defines samples, not a density that could be evaluated. To "
        "follow its training, compare samples with data, in a Watch among the hooks.",
        "encode": "no network leads from an event back to latent variables; invert(x) searches "
        "for some that the generator maps near to x.",
    }
    _fewest_latent: ClassVar[int] = 1

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        cost: str | Cost = "non-saturating",
        *,
        latent: int,
        discriminator_steps: int = 1,
        generator_steps: int = 1,
        smoothing: float = 0.0,
        gradient_penalty: float = 0.0,
        discriminator_optimizer: MakeOptimizer | None = None,
        generator_optimizer: MakeOptimizer | None = None,
    ) -> None:
        super().__init__()
        check_count(latent, "latent", minimum=self._fewest_latent)
        self._set_rules(
            cost,
            (discriminator_steps, generator_steps),
            (discriminator_optimizer, generator_optimizer),
        )
        check_positive(gradient_penalty, "gradient_penalty", zero=True)
        self.latent, self.gradient_penalty = latent, gradient_penalty
        if smoothing != 0:
            self.cost = smoothed(self.cost, smoothing)
        check_modules({self._judge: discriminator, "generator": generator})
        self.generator, self.discriminator = generator, discriminator
        self._check_networks()
        self._note_code()

    # ------------------------------------------------------------------ the game

    def players(self) -> list[Player]:
        """Who moves: the discriminator, then the generator."""
        return self._sides([self.discriminator], [self.generator])

    def discriminator_loss(self, x: Tensor, *y: Tensor) -> Tensor:
        """The discriminator's loss on real rows ``x`` and as many new ones of the generator."""
        self._check_batch_of_one(x)
        with torch.no_grad():
            fake = self._fakes(x, *y)
        return self._told_apart(lambda rows: self._logits(rows, *y), x, fake)

    def generator_loss(self, x: Tensor, *y: Tensor) -> Tensor:
        """The generator's loss on new rows, as many as ``x`` has."""
        self._check_batch_of_one(x)
        return self.cost.generator(self._logits(self._fakes(x, *y), *y))

    def _fakes(self, x: Tensor, *y: Tensor) -> Tensor:
        """As many new rows as ``x`` has, of its dtype: under autocast they come in a lower one."""
        return self._generated(normal((len(x), self.latent), x), *y).to(x.dtype)

    def _told_apart(self, judge: Callable[[Tensor], Tensor], x: Tensor, fake: Tensor) -> Tensor:
        """Loss of a discriminator ``judge`` on real rows ``x`` and on generated ones."""
        return self.cost.discriminator(judge(x), judge(fake)) + self._penalty(judge, x, fake)

    def _penalty(
        self, judge: Callable[[Tensor], Tensor], x: Tensor, fake: Tensor
    ) -> Tensor | float:
        """The weighted penalty on the slope of a discriminator ``judge``, where there is one."""
        if not self.gradient_penalty:
            return 0.0
        return self.gradient_penalty * gradient_penalty(judge, x, fake)

    def _generated(self, z: Tensor) -> Tensor:
        """What the generator makes of ``z``; a conditional model takes labels as well."""
        return self.generator(z)

    def _logits(self, x: Tensor) -> Tensor:
        """What the discriminator says of ``x``, (N,); see `_generated`."""
        return self._column(self.discriminator(x), x)

    # ------------------------------------------------------------------ the queries

    def noise(self, n: int, generator: Generator | None = None) -> Tensor:
        """``n`` draws of the latent variables from N(0, I), shape (n, latent)."""
        return normal((n, self.latent), next(self.generator.parameters()), generator)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The events G(z), in evaluation mode: (M, latent) → (M, \\*event_shape); of labels ``y``
        where there are labels.
        """
        self._check_latent(z, "z")
        told = self._told(y, len(z))
        with evaluating(self.generator):
            return self._generated(z, *told)

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the discriminator says of events, in evaluation mode: (N, \\*event_shape) → (N,)."""
        self.check(x)
        told = self._told(y, len(x))
        with evaluating(self.discriminator):
            return self._logits(x, *told)

    def interpolate(
        self,
        start: Tensor,
        end: Tensor,
        steps: int = 8,
        *,
        path: str = "spherical",
        y: Tensor | None = None,
    ) -> Tensor:
        """Events along paths between latent rows.

        Parameters
        ----------
        start, end : Tensor, shape (N, latent)
        steps : int
            Events on a path, both ends included.
        path : {"spherical", "linear"}
            See `latent_path`.
        y : Tensor, shape (N,), optional
            A label for each path, where there are labels.

        Returns
        -------
        Tensor, shape (N, steps, \\*event_shape)
        """
        for name, z in (("start", start), ("end", end)):
            self._check_latent(z, name)
        told = self._told(y, len(start))
        on_path = latent_path(start, end, steps, path=path)
        labels = [part.repeat_interleave(steps, 0) for part in told]
        return self.decode(on_path.flatten(0, 1), *labels).unflatten(0, on_path.shape[:2])

    def invert(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        steps: int = 300,
        lr: float = 0.05,
        starts: int = 4,
        prior: float = 0.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """Latent variables whose events are near to ``x``, by gradient descent.

        Minimises ‖G(z) − x‖² + prior · ‖z‖² of each row by Adam, whose rate falls to zero over the
        steps, from several draws of z; the best one is the answer. It may be a local minimum, and
        most events have no z at all: look at how far ``decode`` of the answer is from ``x``.

        Parameters
        ----------
        x : Tensor, shape (N, \\*event_shape)
        y : Tensor, shape (N,), optional
            Labels, where there are labels.
        steps : int
        lr : float
        starts : int
            Draws for each row; all rows' are worked on at once.
        prior : float
            Weight of ‖z‖². With the variance of noise on x, the answer is the most probable z.
        generator : torch.Generator, optional

        Returns
        -------
        Tensor, shape (N, latent)
        """
        self.check(x)
        told = self._told(y, len(x))
        check_count(steps, "steps")
        check_positive(lr, "lr")
        check_count(starts, "starts")
        check_positive(prior, "prior", zero=True)
        z = self.noise(starts * len(x), generator).requires_grad_()
        # Start s of row n stands at s N + n.
        target, *labels = (torch.cat([part.detach()] * starts) for part in (x, *told))
        optimizer = Adam([z], lr=lr)
        with torch.enable_grad(), evaluating(self.generator):
            for step in range(steps):
                optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
                distance = self._distance(z, target, prior, *labels)
                (z.grad,) = torch.autograd.grad(distance.sum(), z)
                optimizer.step()
            distance = self._distance(z, target, prior, *labels).detach()
        best = distance.view(starts, len(x)).argmin(0)
        return z.detach().view(starts, len(x), -1)[best, torch.arange(len(x), device=z.device)]

    def _distance(self, z: Tensor, target: Tensor, prior: float, *y: Tensor) -> Tensor:
        """‖G(z) − x‖² + prior · ‖z‖² of each row."""
        error = (self._generated(z, *y) - target).flatten(1).square().sum(1)
        return error + prior * z.square().sum(1) if prior else error

    def _sample(self, n: int, generator: Generator | None, *y: Tensor) -> Tensor:
        parts = (rows.split(_DRAWN_AT_ONCE) for rows in (self.noise(n, generator), *y))
        with evaluating(self.generator):
            return torch.cat([self._generated(*rows) for rows in zip(*parts, strict=True)])

    def _told(self, y: Tensor | None, count: int) -> tuple[Tensor, ...]:
        """The labels that go with rows, checked, in a tuple: empty where there are none."""
        condition = self._condition(y, count)
        return () if condition is None else (condition,)

    # ------------------------------------------------------------------ checks

    def _check_networks(self) -> None:
        """Raise unless the networks fit each other; note the shape and range of an event."""
        first = next(self.generator.parameters(), None)
        if first is None:
            raise ValueError("generator: expected a network with parameters to train, got none.")
        z, told = first.new_zeros(3, self.latent), self._example_labels(3, first)
        x, last = self._tried_generator(z, *told)
        if x.dim() < 2 or len(x) != 3:
            raise ValueError(
                f"generator: expected an event for each of 3 rows, shape (3, ...), got "
                f"{tuple(x.shape)}."
            )
        self.event_shape = x.shape[1:]
        self.support = range_of(self.generator, last)
        beside = self._judged_beside(z, *told)
        _, last = probed(self.discriminator, self._logits, (x, *beside), self._judge)
        check_unbounded(last, self._judge)
        norms = [has_batch_norm(part) for part in (self.generator, self.discriminator)]
        self._has_batch_norm = any(norms)
        if norms[1] and self.gradient_penalty:
            raise ValueError(
                f"{self._judge}: expected no batch norm where the slope is penalised row by row, "
                "since it ties the rows together; use none, or torch.nn.LayerNorm or "
                "torch.nn.InstanceNorm2d."
            )

    def _tried_generator(self, z: Tensor, *y: Tensor) -> tuple[Tensor, str]:
        """What the generator says of examples; see `probed`."""
        return probed(self.generator, self._generated, (z, *y), "generator")

    def _example_labels(self, n: int, like: Tensor) -> tuple[Tensor, ...]:
        """Labels with which to try the networks; none but in a conditional model."""
        return ()

    def _judged_beside(self, z: Tensor, *y: Tensor) -> tuple[Tensor, ...]:
        """What the discriminator is told beside a row that was made of ``z`` and ``y``."""
        return y

    def _column(self, out: object, x: Tensor) -> Tensor:
        """What the discriminator said of ``x``, checked to be one number a row, as (N,)."""
        return logits_of(out, x, self._judge)

    def _parted(self, out: object, x: Tensor, further: int, what: str) -> tuple[Tensor, Tensor]:
        """What a discriminator with ``further`` outputs said of ``x``: logits (N,), and these,
        (N, further).
        """
        out = one_tensor(out, self._judge)
        if out.shape != (len(x), 1 + further):
            raise ValueError(
                f"{self._judge}: expected a logit and {what} a row, shape ({len(x)}, "
                f"{1 + further}), got {tuple(out.shape)}."
            )
        out = out.to(x.dtype)
        return out[:, 0], out[:, 1:]

    def _check_latent(self, z: Tensor, name: str) -> None:
        shape = torch.Size([self.latent])
        check_event(z, shape, dtype=self.dtype, device=self.device, name=name)


class WGAN(GAN):
    """Wasserstein GAN with gradient penalty: the critic's gap E_p[v] − E_q[v] estimates the
    distance by which the generator's rows would have to be moved to become the data.

    It does so as far as the critic's slope is 1 at most; the penalty holds the slope near 1 at
    points between real and generated rows. Unlike a divergence, the distance falls steadily as
    distributions without overlap come nearer to each other.

    The penalty is a price, not a bound. In one dimension and with a linear critic, means at a
    distance d lead to the slope 1 + d / 2λ, so that the gap overstates d; and a critic whose slope
    begins with the wrong sign is held at −(1 − d / 2λ), a local minimum, where d < 2λ.

    Parameters
    ----------
    generator : torch.nn.Module
        (N, latent) to events.
    critic : torch.nn.Module
        Events to any real numbers, (N,) or (N, 1); without batch norm.
    latent : int
    critic_steps : int
        The critic's steps to one of the generator.
    gradient_penalty : float
        Weight λ of the penalty; positive, since nothing else bounds the critic.
    critic_optimizer : callable, optional
        As ``discriminator_optimizer`` in `GAN`. Gulrajani et al. train both players by Adam with
        ``lr=1e-4, betas=(0.0, 0.9)``.
    **settings
        ``generator_steps``, ``generator_optimizer``; see `GAN`.

    Raises
    ------
    TypeError, ValueError
        A setting is not what it must be; or batch norm is in the critic.

    References
    ----------
    Arjovsky, Chintala and Bottou (2017), ICML; Gulrajani et al. (2017), NeurIPS.
    """

    lesson = "18_stable_adversarial_training"
    _judge = "critic"

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        *,
        latent: int,
        critic_steps: int = 5,
        gradient_penalty: float = 10.0,
        critic_optimizer: MakeOptimizer | None = None,
        **settings: Any,
    ) -> None:
        check_settings(WGAN, settings, ("generator_steps", "generator_optimizer"))
        check_positive(gradient_penalty, "gradient_penalty")
        super().__init__(
            generator,
            critic,
            "wasserstein",
            latent=latent,
            discriminator_steps=critic_steps,
            gradient_penalty=gradient_penalty,
            discriminator_optimizer=critic_optimizer,
            **settings,
        )

    @property
    def critic(self) -> nn.Module:
        """The critic, which `GAN` calls discriminator."""
        return self.discriminator


@torch.enable_grad()
def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    generator: Generator | None = None,
) -> Tensor:
    """Mean of (‖∇ critic(x̂)‖ − 1)² over rows x̂ drawn between real and generated ones.

    Each x̂ = u x + (1 − u) G(z) has one number u, uniform in [0, 1), for all its values, and its
    slope one norm over all its values. Where the slope is zero, so is the norm's gradient.

    Parameters
    ----------
    critic : callable
        (N, \\*shape) to (N,), each row by itself.
    real, fake : Tensor, shape (N, \\*shape)
    generator : torch.Generator, optional

    Returns
    -------
    Tensor, shape ()

    Raises
    ------
    ValueError
        The rows differ in number or shape.

    References
    ----------
    Gulrajani et al. (2017), "Improved training of Wasserstein GANs", NeurIPS, equation 3.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"real, fake: expected one shape, got {tuple(real.shape)} and {tuple(fake.shape)}."
        )
    u = uniform((len(real), *[1] * (real.dim() - 1)), real, generator)
    between = (u * real + (1 - u) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    # Not the root of a sum of squares, whose gradient at zero would be NaN.
    norm = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return (norm - 1).square().mean()


def latent_path(start: Tensor, end: Tensor, steps: int = 8, *, path: str = "spherical") -> Tensor:
    """Points on paths between the rows of two tensors.

    Parameters
    ----------
    start, end : Tensor, shape (N, d)
    steps : int
        Points on a path, both ends included; at least 2.
    path : {"spherical", "linear"}
        Linear is (1 − t) a + t b. Spherical is (sin((1 − t) ω) a + sin(t ω) b) / sin ω, with ω the
        angle between a and b: from two points at the same distance from the origin it keeps to that
        distance, near √d, where almost all of N(0, I) lies; the straight line cuts the corner.

    Returns
    -------
    Tensor, shape (N, steps, d)

    Raises
    ------
    TypeError, ValueError
        Not two tensors of finite floats of one shape; or a row is zero or opposite to its partner,
        so that no spherical path, or no single one, joins them.

    References
    ----------
    Shoemake (1985), "Animating rotation with quaternion curves"; White (2016), "Sampling generative
    networks", for latent variables.
    """
    check_count(steps, "steps", minimum=2)
    check_choice(path, PATHS, "path")
    check_tensor(start, "start")
    check_tensor(end, "end")
    if start.dim() != 2 or start.shape != end.shape:
        raise ValueError(
            f"start, end: expected one shape (N, d), got {tuple(start.shape)} and "
            f"{tuple(end.shape)}."
        )
    t = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)[:, None]
    a, b = start[:, None], end[:, None]
    if path == "linear":
        return (1 - t) * a + t * b
    angle = _angle(a, b)
    # sin(t ω) / sin ω, which at ω = 0 is t
    shares = [s * torch.sinc(s * angle / torch.pi) for s in (1 - t, t)]
    return (shares[0] * a + shares[1] * b) / torch.sinc(angle / torch.pi)


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle between vectors, (N, 1, 1); small ones too are exact to rounding."""
    lengths = [torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in (a, b)]
    if any((length == 0).any() for length in lengths):
        raise ValueError('start, end: expected no row of zeros for path="spherical", found one.')
    a, b = a / lengths[0], b / lengths[1]
    apart, together = (torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in (a - b, a + b))
    if (together < 1e-3).any():
        raise ValueError(
            "start, end: expected rows that are not opposite to each other, between which "
            'spherical paths lead in all directions; use path="linear".'
        )
    return 2 * torch.atan2(apart, together)


def check_settings(
    kind: type[GAN], settings: Mapping[str, Any], known: Sequence[str] = SETTINGS
) -> None:
    """Raise where ``settings``, which the constructor of ``kind`` hands on to `GAN`, has others
    than ``known`` ones.
    """
    own = [name for name in inspect.signature(kind).parameters if name != "settings"]
    for name in settings:
        if name not in known:
            raise TypeError(
                f"{name}: expected a setting of {kind.__name__}, which are "
                f"{', '.join([*own, *(each for each in known if each not in own)])}."
            )
