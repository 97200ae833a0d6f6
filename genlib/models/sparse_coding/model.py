"""Sparse coding: rows as combinations of few atoms of a dictionary that is learned.

Sources: the section on sparse coding of document U; Olshausen and Field (1996), "Emergence of
simple-cell receptive field properties by learning a sparse code for natural images".
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from genlib.core import Density, Estimator, History, NotFittedError
from genlib.core.checkpoint import fingerprint
from genlib.core.fit import loaded
from genlib.core.validation import (
    check_between,
    check_choice,
    check_count,
    check_event,
    check_positive,
)
from genlib.kernels.ista import lasso_active_set, lasso_ista
from genlib.models.sparse_coding.codes import (
    coordinate_descent,
    majorise_minimise,
    matching_pursuit,
)
from genlib.models.sparse_coding.learning import Run
from genlib.models.sparse_coding.penalties import PENALTIES

# For each penalty the solvers of the code step, the first by default.
SOLVERS = {
    "l1": ("active_set", "fista", "ista", "cd"),
    "log": ("ista",),
    "exponential": ("ista",),
    "l0": ("omp",),
}
STARTS = ("rows", "random", "current")


class SparseCoding(Estimator):
    """x ≈ z A, with a code z of few atoms, the rows of A, which lie in the unit ball.

    For rows x_n the objective, over codes and dictionary together, is the mean of::

        ½ ‖x_n − z_n A‖² + λ Σ_k ρ(z_nk / σ)        subject to ‖a_k‖ ≤ 1

        ρ(z) = |z|                "l1", with σ = 1
        ρ(z) = log(1 + z²)        "log"
        ρ(z) = 1 − exp(−z²)       "exponential"

    "l0" has no penalty, and at most ``nonzeros`` entries of a code that are not
    zero. Without the bound on the atoms, A → s A and z → z / s would take any penalty to zero at no
    cost.

    Rows are coded as they are: take their means away before, if they are not to be coded.

    Parameters
    ----------
    atoms : int
        K; more than there are dimensions for an overcomplete dictionary.
    sparsity : float
        λ, in the squared unit of the rows for the smooth penalties and in their unit for ℓ1.
    penalty : {"l1", "log", "exponential", "l0"}
    solver : {"active_set", "fista", "ista", "cd", "omp"}, optional
        How codes are computed. For ℓ1, whose minimum all of the first four find: "active_set"
        (`genlib.kernels.ista.lasso_active_set`; the default, exact), "fista" and "ista" (iterative
        soft thresholding, with and without momentum), "cd" (coordinate descent). For the smooth
        penalties, which have local minima: "ista" (majorise–minimise, from zero in `encode`, from
        the codes before in `fit`). For "l0": "omp" (orthogonal matching pursuit, greedy).
    scale : float
        σ of the smooth penalties, in the unit of the rows.
    nonzeros : int, optional
        For "l0" only.
    iterations, tolerance : int, float
        Of "fista", "ista" and "cd": the most iterations or sweeps, and the duality gap, over
        ½ ‖x‖², at which a row is done; for smooth penalties, the relative change.

    Attributes
    ----------
    dictionary : Tensor, shape (K, d)
        A, an atom a row; unique up to order and signs at best.

    Notes
    -----
    ``encode`` gives the codes, (N, K); `decode` the rows z A.

    Examples
    --------
    >>> model = SparseCoding(2, sparsity=0.5)
    >>> model.dictionary = torch.eye(2)
    >>> model.encode(torch.tensor([[3.0, 0.2]])).round(decimals=4).tolist()
    [[2.5, 0.0]]

    References
    ----------
    [1] Olshausen and Field (1996), "Emergence of simple-cell receptive field properties by learning
    a sparse code for natural images", Nature 381, 607–609.
    [2] Mairal, Bach, Ponce and Sapiro (2010), "Online learning for matrix factorization and sparse
    coding", Journal of Machine Learning Research 11, 19–60.
    """

    density = Density.NONE
    lesson = "12_sparse_coding"
    cannot = {  # noqa: RUF012
        "log_prob": "a code is one point z for each row, and p(x) would be an integral over all z, "
        "which has no closed form; nor does the objective fix the level of the noise.",
        "sample": "the penalty is no distribution of codes (the exponential one has no normalising "
        "constant); draw codes of your own and decode them.",
    }
    fitted_buffers = ("dictionary",)
    dictionary: Tensor

    def __init__(
        self,
        atoms: int = 256,
        *,
        sparsity: float = 0.1,
        penalty: str = "l1",
        solver: str | None = None,
        scale: float = 1.0,
        nonzeros: int | None = None,
        iterations: int = 1000,
        tolerance: float = 1e-5,
    ) -> None:
        super().__init__()
        check_count(atoms, "atoms")
        check_positive(sparsity, "sparsity", zero=True)
        check_choice(penalty, SOLVERS, "penalty")
        if solver is not None:
            check_choice(solver, SOLVERS[penalty], f"solver of the penalty {penalty!r}")
        check_positive(scale, "scale")
        check_count(iterations, "iterations")
        check_positive(tolerance, "tolerance", zero=True)
        if (nonzeros is not None) != (penalty == "l0"):
            raise ValueError(
                'nonzeros: expected a number of atoms with penalty="l0", and only there, got '
                f"{nonzeros} with {penalty!r}."
            )
        if nonzeros is not None:
            check_count(nonzeros, "nonzeros", maximum=atoms)
        if penalty == "l1" and scale != 1:
            raise ValueError(f"scale: expected 1 for l1, whose λ does the same, got {scale}.")
        self.atoms, self.sparsity, self.penalty, self.scale = atoms, sparsity, penalty, scale
        self.solver, self.nonzeros = solver or SOLVERS[penalty][0], nonzeros
        self.iterations, self.tolerance = iterations, tolerance

    # ------------------------------------------------------------------ what a model answers

    def decode(self, z: Tensor) -> Tensor:
        """Rows z A of codes: (N, K) → (N, d)."""
        self._require_data("decode")
        self._check_codes(z)
        return z @ self.dictionary

    def objective(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """½ ‖x − z A‖² + λ Σ_k ρ(z_k / σ) of each row, (N,), at codes ``z``: those of `encode` by
        default.
        """
        self._require_data("objective")
        self.check(x)
        if z is not None:
            self._check_codes(z)
            if len(z) != len(x):
                raise ValueError(f"z: expected a code for each of {len(x)} rows, got {len(z)}.")
        return self._objective(x, self._encode(x) if z is None else z)

    def validation_loss(self, x: Tensor) -> Tensor:
        """Mean objective of the rows."""
        return self._objective(x, self._encode(x)).mean()

    def _require_validation(self) -> None:
        """There is something to watch, although there is no density."""

    @torch.no_grad()
    def _encode(self, x: Tensor) -> Tensor:
        self._check_dictionary()
        return self._codes(x, None)

    # ------------------------------------------------------------------ fitting

    def fit(
        self,
        x: Tensor | DataLoader,
        *,
        valid: Tensor | None = None,
        iterations: int = 50,
        tolerance: float = 1e-4,
        start: str = "rows",
        batch_size: int | None = None,
        forget: float = 0.6,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> History:
        """Learn the dictionary: codes for the atoms, then atoms for the codes, by turns.

        With all rows at once no half step raises the objective. An atom that no row has used takes
        the direction of the row with the largest error, which costs nothing, as its codes are zero.
        Draws come from torch's global generator: `seed` repeats them.

        Parameters
        ----------
        x : Tensor, shape (N, d), or torch.utils.data.DataLoader
            Rows; a loader's batches need never be in memory together.
        valid : Tensor, optional
            Held-out rows, whose mean objective is recorded as ``valid``.
        iterations : int
            At most so many passes over the rows.
        tolerance : float
            Stop where the objective falls by less than so many times itself. In batches, all
            ``iterations`` are made.
        start : {"rows", "random", "current"}
            Begin from random rows, from random directions, or from the dictionary that the model
            has: of an earlier fit, or assigned.
        batch_size : int, optional
            Rows after which the dictionary moves: online learning. By default it moves after all of
            them; of a loader, after each batch.
        forget : float
            Online, the statistics of the t-th batch enter with the weight t^−forget; in [½, 1]. At
            1 all batches weigh the same, also those that an early dictionary has coded.
        checkpoint : path, optional
            File to write, atomically, after iterations, so often that it takes a tenth of the time.
        resume : bool
            Go on from ``checkpoint`` if it exists, to the numbers of the uninterrupted run. Of a
            loader's rows it knows nothing: they must be the same.

        Returns
        -------
        History
            A row an iteration: ``iteration``; ``loss``, the mean objective of the codes before the
            dictionary moved; ``active``, the mean number of atoms of a code; ``replaced``, how many
            atoms no row had used.

        Raises
        ------
        ValueError
            There are fewer rows, zeros not counted, than atoms to begin with; the dictionary given
            has an atom that is zero or outside the unit ball; a setting is not what it must be.
        TrainingDivergedError
            The objective is not finite.
        FileExistsError, WrongCheckpointError, DamagedFileError
            See `genlib.core.Checkpoint`.
        """
        settings = {
            "iterations": iterations,
            "tolerance": tolerance,
            "start": start,
            "batch_size": batch_size,
            "forget": forget,
        }
        self._check_settings(**settings)
        first = next(loaded(x, self))[0] if isinstance(x, DataLoader) else x
        self._training_rows(first, None)
        held_out = () if valid is None else self._held_out_rows(valid, (first,))
        self._check_start(first, start, " of the first batch" if isinstance(x, DataLoader) else "")
        known = held_out if isinstance(x, DataLoader) else (x, *held_out)
        file = self._checkpoint(checkpoint, resume, {**settings, "data": fingerprint(known)})
        rows = x if isinstance(x, DataLoader) else x.detach()
        history = Run(self, rows, first.detach(), held_out, settings)(file)
        self.eval()
        return history

    # ------------------------------------------------------------------ arithmetic

    def _codes(self, x: Tensor, before: Tensor | None) -> Tensor:
        """Codes of rows; no worse than those ``before``, if there are any."""
        atoms, price = self.dictionary, self.sparsity
        if self.solver == "active_set":
            return lasso_active_set(x, atoms, price).codes
        if self.penalty == "l1" and self.solver == "cd":
            return coordinate_descent(x, atoms, price, self.iterations, self.tolerance)
        options = {"iterations": self.iterations, "tolerance": self.tolerance}
        if self.penalty == "l1":
            momentum = self.solver == "fista"
            return lasso_ista(x, atoms, price, momentum=momentum, start=before, **options).codes
        if self.penalty == "l0":
            return self._better(x, matching_pursuit(x, atoms, self.nonzeros), before)
        start = x.new_zeros(len(x), len(atoms)) if before is None else before
        penalty = PENALTIES[self.penalty]
        return majorise_minimise(x, atoms, price, penalty, scale=self.scale, start=start, **options)

    def _better(self, x: Tensor, z: Tensor, before: Tensor | None) -> Tensor:
        """Of two codes of each row the better one."""
        if before is None:
            return z
        keeps = self._objective(x, before) < self._objective(x, z)
        return torch.where(keeps[:, None], before, z)

    def _objective(self, x: Tensor, z: Tensor) -> Tensor:
        error = 0.5 * (x - z @ self.dictionary).square().sum(1)
        if self.penalty == "l0":
            return error
        return error + self.sparsity * PENALTIES[self.penalty].value(z / self.scale).sum(1)

    # ------------------------------------------------------------------ checks

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        """Raise unless the model can be fitted to a loader's batch like this one."""
        self._check_rows(batch[0], self.event_shape, name)

    def _check_codes(self, z: Tensor) -> None:
        shape = torch.Size([self.atoms])
        check_event(z, shape, dtype=self.dtype, device=self.device, name="z")

    def _check_settings(
        self,
        iterations: int,
        tolerance: float,
        start: str,
        batch_size: int | None,
        forget: float,
    ) -> None:
        check_count(iterations, "iterations")
        check_positive(tolerance, "tolerance", zero=True)
        check_choice(start, STARTS, "start")
        check_between(forget, 0.5, 1, "forget")
        if batch_size is not None:
            check_count(batch_size, "batch_size")

    def _check_start(self, x: Tensor, start: str, where: str) -> None:
        """Raise where there is nothing to begin with."""
        found = int((x.norm(dim=1) > 0).sum())
        if start == "rows" and found < self.atoms:
            raise ValueError(
                f"atoms: expected at most as many as there are rows{where} that are not zero, "
                f'{found}, got {self.atoms}; or begin with start="random".'
            )
        if found == 0:
            raise ValueError("x: expected rows that are not all zero.")
        if start == "current":
            if not self.dictionary.numel():
                raise NotFittedError(
                    'start="current": expected a dictionary from an earlier fit, or assigned; '
                    "it is empty."
                )
            self._check_dictionary()
            longest = self.dictionary.norm(dim=1).max().item()
            if longest > 1 + 1e-4:
                raise ValueError(
                    f"dictionary: expected atoms in the unit ball, got one of length {longest:g}; "
                    "divide each by its length."
                )

    def _check_dictionary(self) -> None:
        shape = (self.atoms, *self.event_shape)
        check_event(
            self.dictionary, torch.Size(shape[1:]), dtype=self.dtype, name="dictionary",
            device=self.device,
        )  # fmt: skip
        if len(self.dictionary) != self.atoms:
            raise ValueError(
                f"dictionary: expected {self.atoms} atoms, got {len(self.dictionary)}."
            )
        zero = (self.dictionary == 0).all(1)
        if zero.any():
            raise ValueError(
                f"dictionary: expected atoms that are not zero, got one at index "
                f"{zero.nonzero()[0].item()}, which no code can use."
            )
