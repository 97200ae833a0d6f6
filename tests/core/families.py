"""A small member of each family that is to come: the contract carries what each of them needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, constraints
from torch.nn import functional as F
from torch.utils.data import Dataset

import genlib as gl
from genlib.core.random import normal, uniform


class LinearVAE(gl.LatentVariableModel):
    """x = W z + b + σ ε, whose log p(x) is known; q(z | x) is a diagonal Gaussian."""

    def __init__(self, dim: int, latent: int) -> None:
        super().__init__()
        self.event_shape = torch.Size([dim])
        self.decoder, self.encoder = nn.Linear(latent, dim), nn.Linear(dim, latent)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.log_width = nn.Parameter(torch.zeros(latent))

    def _log_weights(self, x, samples, generator):
        q = Normal(self.encoder(x), self.log_width.exp())
        z = q.loc + q.scale * normal((samples, *q.loc.shape), x, generator)
        p = Normal(self.decoder(z), self.log_scale.exp())
        prior = Normal(0, 1).log_prob(z).sum(-1)
        return p.log_prob(x).sum(-1) + prior - q.log_prob(z).sum(-1)

    def exact(self, x: Tensor) -> Tensor:
        w = self.decoder.weight
        covariance = w @ w.T + (2 * self.log_scale).exp() * torch.eye(len(w)).to(w)
        return MultivariateNormal(self.decoder.bias, covariance).log_prob(x)

    def _encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class PersistentMachine(gl.EnergyModel):
    """A restricted Boltzmann machine trained by persistent contrastive divergence."""

    support = constraints.boolean
    training_buffers = ("chains",)

    def __init__(self, visible: int, hidden: int, chains: int) -> None:
        super().__init__()
        self.event_shape = torch.Size([visible])
        self.w = nn.Parameter(0.1 * torch.randn(visible, hidden))
        self.b, self.c = nn.Parameter(torch.zeros(visible)), nn.Parameter(torch.zeros(hidden))
        self.register_buffer("chains", torch.zeros(chains, visible))

    def _energy(self, x: Tensor) -> Tensor:
        return -(x @ self.b) - F.softplus(x @ self.w + self.c).sum(1)

    def _negatives(self, x: Tensor) -> Tensor:
        for _ in range(2):
            hidden = torch.bernoulli((self.chains @ self.w + self.c).sigmoid())
            self.chains = torch.bernoulli((hidden @ self.w.T + self.b).sigmoid())
        return self.chains

    def validation_loss(self, x: Tensor) -> Tensor:
        return -self._log_prob(x).mean()


class WassersteinGAN(gl.Model):
    """WGAN with gradient penalty: a loss that differentiates through a gradient."""

    density = gl.Density.IMPLICIT

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.event_shape = torch.Size([dim])
        self.generator, self.critic = (
            nn.Sequential(nn.Linear(dim, 16), nn.ReLU(), nn.Linear(16, out)) for out in (dim, 1)
        )

    def _sample(self, n, generator):
        return self.generator(normal((n, *self.event_shape), self.critic[0].weight, generator))

    def critic_loss(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            fake = self._sample(len(x), None)
        mixing = uniform((len(x), 1), x)
        between = (mixing * x + (1 - mixing) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        return self.critic(fake).mean() - self.critic(x).mean() + 10 * penalty

    def generator_loss(self, x: Tensor) -> Tensor:
        return -self.critic(self._sample(len(x), None)).mean()

    def players(self) -> list[gl.Player]:
        return [
            gl.Player("critic", list(self.critic.parameters()), self.critic_loss, steps=5),
            gl.Player("generator", list(self.generator.parameters()), self.generator_loss),
        ]


class CycleMaps(gl.Model):
    """Two linear maps between two sets that should undo each other: batches are pairs (a, b)."""

    density = gl.Density.NONE

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.event_shape = torch.Size([dim])
        self.there, self.back = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        if len(batch) != 2:
            raise ValueError(f"{name}: expected batches (a, b), got {len(batch)} tensors.")
        for part in batch:
            self.check(part, name)

    def loss(self, a: Tensor, b: Tensor) -> Tensor:
        cycles = (self.back(self.there(a)) - a, self.there(self.back(b)) - b)
        return sum(cycle.square().mean() for cycle in cycles)


class ImageToImage(gl.Model):
    """p(x | y) = N(W y, 1) with a condition y that is an image."""

    density = gl.Density.EXACT

    def __init__(self, condition_shape: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.event_shape, self.condition_shape = torch.Size([dim]), torch.Size(condition_shape)
        self.map = nn.Linear(self.condition_shape.numel(), dim)

    def _log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return Normal(self.map(y.flatten(1)), 1.0).log_prob(x).sum(1)

    def _sample(self, n, generator, y):
        return self.map(y.flatten(1)) + normal((n, *self.event_shape), y, generator)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._log_prob(x, y).mean()


class Clusters(gl.Estimator):
    """Two Gaussians on a line with unit variance, fitted by EM: iterations of a checkpoint."""

    density = gl.Density.EXACT
    fitted_buffers = ("means",)

    def _estimate(self, x, *, held_out, iterations=50, checkpoint=None, resume=False):
        start = x.new_tensor([[-1.0], [1.0]])
        history = gl.History()
        file = None
        if checkpoint is not None:
            file = gl.Checkpoint(checkpoint, {"rows": len(x)}, resume=resume)
        saved = file.saved if file is not None and file.saved else {"means": start, "rows": []}
        self.means, history.rows = saved["means"], saved["rows"]
        for i in range(len(history), iterations):
            shares = self._joint(x).softmax(1)
            noise = 1e-3 * torch.randn(2, 1)  # what a resumed run must repeat
            self.means = (shares.T @ x) / shares.sum(0)[:, None] + noise
            history.append(loss=-self._log_prob(x).mean().item())
            if file is not None:
                state = {"means": self.means, "rows": history.rows}
                file.write(state, last=i + 1 == iterations)
        return history

    def _joint(self, x: Tensor) -> Tensor:
        return Normal(self.means[:, 0], 1.0).log_prob(x) + torch.tensor(0.5).log()

    def _log_prob(self, x: Tensor) -> Tensor:
        return self._joint(x).logsumexp(1)


class Binarised(Dataset):
    """Other bits every time a row is asked for."""

    def __init__(self, grey: Tensor) -> None:
        self.grey = grey

    def __len__(self) -> int:
        return len(self.grey)

    def __getitems__(self, rows):
        return (torch.bernoulli(self.grey[rows]),)


class Unpaired(Dataset):
    """Every row of ``a`` with some row of ``b``, which may hold more or fewer."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b

    def __len__(self) -> int:
        return len(self.a)

    def __getitems__(self, rows):
        return self.a[rows], self.b[torch.randint(len(self.b), (len(rows),))]


def as_drawn(batch):
    """For loaders over data that come in batches already."""
    return batch
