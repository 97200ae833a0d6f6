"""Densities known up to a constant."""

from __future__ import annotations

import torch
from torch import Tensor

from genlib.core.discrete import LARGEST_LISTING, finite_events
from genlib.core.model import CannotAnswerError, Density, Model
from genlib.core.rows import row_chunks
from genlib.core.validation import check_one_a_row, describe


class EnergyModel(Model, abstract=True):
    """A density known up to a constant: p(x) = exp(−E(x)) / Z.

    A subclass writes ``_energy(x) -> (N,)``. Where events are few enough to list, log Z is a sum,
    and ``log_prob`` exact; elsewhere it raises, and lessons show what can be done instead.

    For training it writes ``_negatives(x)``, events drawn from the model or nearly so: by
    contrastive divergence from ``x``, from persistent chains, by Langevin dynamics or HMC. Without
    it the gradient is the exact one, by listing.
    """

    density = Density.ENERGY
    full_precision = "differences of energies are small beside them, and bfloat16 rounds them away."

    def energy(self, x: Tensor) -> Tensor:
        """Energy E(x) of each row, shape (N,), in nats: −log p(x) up to the constant log Z."""
        self.check(x)
        energy = self._energy(x)
        check_one_a_row(energy, x, f"{type(self).__name__}._energy")
        return energy

    def _energy(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _negatives(self, x: Tensor) -> Tensor:
        """Events (M, \\*event_shape) that stand for the model's own, given a batch of data."""
        raise NotImplementedError

    def loss(self, x: Tensor) -> Tensor:
        """A quantity with the gradient of the mean negative log-likelihood: E_data[E] − E_model[E],
        nats, its second term over `_negatives`; exactly −log p(x) where a model has none.
        """
        if type(self)._negatives is EnergyModel._negatives:
            return -self._log_prob(x).mean()
        with torch.no_grad():
            negatives = self._negatives(x)
        data, model = self._energy(x), self._energy(negatives)
        check_one_a_row(data, x, f"{type(self).__name__}._energy")
        return data.mean() - model.mean()

    def validation_loss(self, x: Tensor) -> Tensor:
        """Mean of −log p(x), in nats: the difference of energies that training follows says nothing
        of how good a model is, and costs steps of its chains.
        """
        return -self._log_prob(x).mean()

    def _require_validation(self) -> None:
        if type(self).validation_loss is EnergyModel.validation_loss:
            self.log_partition()  # raises where it cannot be computed

    def log_partition(self) -> Tensor:
        """Exact log Z = log Σ_x exp(−E(x)), in nats, by listing all events.

        Raises
        ------
        CannotAnswerError
            There are infinitely many events, or more than 2**20.
        """
        events = finite_events(self.support, self.event_shape, dtype=self.dtype, device=self.device)
        if events is None:
            raise CannotAnswerError(
                f"{type(self).__name__} cannot list its events to find log Z: expected at most "
                f"{LARGEST_LISTING} of them, got events of {self.event_shape.numel()} values in "
                f"{describe(self.support)}. Estimate it by annealed importance sampling instead."
            )
        parts = [-self._energy(part) for part in row_chunks(events, 2**18)]
        return torch.logsumexp(torch.cat(parts), 0)

    def _log_prob(self, x: Tensor) -> Tensor:
        return -self._energy(x) - self.log_partition()
