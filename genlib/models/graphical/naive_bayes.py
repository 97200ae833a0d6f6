"""Naive Bayes: a label, and features that are independent once the label is known.

Sources: the chapter on structure of document H; McCallum and Nigam (1998) for the two models of
text; Ng and Jordan (2002) for the comparison with logistic regression.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from genlib.core import Density, Estimator, History
from genlib.core.random import categorical, integers, normal, uniform
from genlib.core.rows import row_chunks
from genlib.core.validation import (
    check_choice,
    check_labels,
    check_mask,
    check_positive,
    first_index,
)
from genlib.models.graphical.tables import VALUES_AT_ONCE

_FAR = 1e6  # squared standard deviations from the centre, up to which x² loses no digit that shows

Score = Callable[[Tensor, Tensor | None], Tensor]  # rows (n, d), what is known of them -> (C, n)


class NaiveBayes(Estimator):
    """p(x, y) = p(y) Π_j p(x_j | y), fitted by counting.

    ``log_prob(x, y)`` is log p(x | y), ``log_prob(x)`` the marginal log Σ_y p(x, y), and ``encode``
    gives p(y | x). With counts of words, both are given the number of words.

    Parameters
    ----------
    likelihood : {"bernoulli", "multinomial", "gaussian"}
        What a feature is: whether a word occurs; how often it occurs; or a real number with a mean
        and a variance in each class.
    smoothing : float
        Pseudo-counts; zero is maximum likelihood. For words: added to both counts of each word
        ("bernoulli"), or to the count of each word ("multinomial"), in each class. For real
        numbers: so many further rows in each class, with its own mean and with the variance of all
        rows together.

    Examples
    --------
    >>> model = NaiveBayes(smoothing=1.0)
    >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    >>> _ = model.fit(x, y)
    >>> model.predict(torch.tensor([[1.0, 0.0]]))
    tensor([0])
    """

    density = Density.EXACT
    lesson = "02_structure"

    def __init__(self, likelihood: str = "bernoulli", smoothing: float = 1.0) -> None:
        check_choice(likelihood, _FEATURES, "likelihood")
        check_positive(smoothing, "smoothing", zero=True)
        features = _FEATURES[likelihood]()
        self.fitted_buffers = (*features.buffers, "class_counts", "log_prior")
        super().__init__()
        self.likelihood, self.smoothing = likelihood, smoothing
        self._features, self.support = features, features.support

    @property
    def classes(self) -> int | None:
        """Number of labels once fitted."""
        return len(self.class_counts) or None

    def fit(self, x: Tensor, y: Tensor, *, valid: tuple[Tensor, Tensor] | None = None) -> History:
        """Count, or average, the rows of each class.

        Parameters
        ----------
        x : Tensor, shape (N, d)
        y : Tensor of int64, shape (N,)
            Labels 0, 1, …; the largest says how many classes there are.
        valid : (Tensor, Tensor), optional
            Held-out rows and labels; the mean of −log p(x, y) is recorded as ``valid``, in nats.

        Raises
        ------
        ValueError
            A class has no rows; or, without smoothing, a probability or a variance would be zero.
        """
        return super().fit(x, y, valid=valid)

    def _training_rows(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        self._check_rows(x, None, "x")
        check_labels(y, len(x), classes=None)
        present = y.unique()
        gaps = present != torch.arange(len(present), device=y.device)
        if gaps.any():
            raise ValueError(
                f"y: expected rows of every class in 0 … {present[-1]}, got none of "
                f"class {first_index(gaps)[0]}; number the classes without gaps."
            )
        return x, y

    def _held_out_rows(self, valid: object, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        if not isinstance(valid, tuple) or len(valid) != 2:
            raise TypeError(
                f"valid: expected a pair (x, y) of rows and labels, got {type(valid).__name__}."
            )
        x, y = valid
        self._check_rows(x, batch[0].shape[1:], "valid")
        check_labels(y, len(x), int(batch[1].max()) + 1)
        return x, y

    def _estimate(self, x: Tensor, y: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        counts = torch.bincount(y)
        estimated = self._features.estimate(x, y, counts, self.smoothing)
        shares = counts.double() / len(y)
        estimated |= {"class_counts": counts, "log_prior": shares.log().to(self.dtype)}
        for name, value in estimated.items():
            setattr(self, name, value)
        return History()

    def validation_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean of −log p(x, y), in nats."""
        return -self.joint_log_prob(x).gather(1, y[:, None]).mean()

    # ------------------------------------------------------------------ queries

    def joint_log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Log p(x, y) of each row with every label, in nats.

        Parameters
        ----------
        x : Tensor, shape (N, d)
        observed : Tensor of bool, shape (N, d) or (d,), optional
            Which features are known. The others are summed out, which for a product means leaving
            their factors out; their values in ``x`` are not looked at, though they must be valid.

        Returns
        -------
        Tensor, shape (N, C)
        """
        joint = self._checked_joint("joint_log_prob", x, observed) + self._features.common(x)
        return joint.T.to(x.dtype).contiguous()

    def predict_proba(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """p(y | x) by Bayes' rule, shape (N, C); of the known features alone where ``observed``,
        shape (N, d) or (d,), says which they are.
        """
        joint = self._checked_joint("predict_proba", x, observed)
        return joint.softmax(0).T.to(x.dtype).contiguous()

    def predict(self, x: Tensor) -> Tensor:
        """The most probable label of each row, int64 of shape (N,)."""
        return self._checked_joint("predict", x).max(0).indices

    def predict_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """E[x | known features], shape (N, d): Σ_y p(y | known) E[x_j | y] where a feature is
        missing, and its value where it is known. Of a word that occurs or not, this is the
        probability that it does.
        """
        posterior = self._checked_joint("predict_missing", x, observed).softmax(0)
        expected = posterior.T @ self._features.means(self)
        return torch.where(check_mask(observed, x, "observed"), x, expected.to(x.dtype))

    def _log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        joint = self._joint(x) + self._features.common(x)
        if y is None:
            return joint.logsumexp(0).to(x.dtype)
        return (joint.gather(0, y[None])[0] - self.log_prior.double()[y]).to(x.dtype)

    def _sample(self, n: int, generator: Generator | None, y: Tensor | None = None) -> Tensor:
        if y is None:
            prior = self.log_prior.double().exp()
            y = categorical(prior, uniform((n,), prior, generator))
        return self._features.sample(self, y, generator).to(self.dtype)

    def _encode(self, x: Tensor) -> Tensor:
        return self._joint(x).softmax(0).T.to(x.dtype).contiguous()

    def _checked_joint(self, method: str, x: Tensor, observed: Tensor | None = None) -> Tensor:
        self._require_data(method)
        self.check(x)
        if observed is not None:
            if not self._features.factorises:
                raise ValueError(
                    "observed: counts of words are modelled given their number, so none of them "
                    'can be left out; use likelihood="bernoulli".'
                )
            observed = check_mask(observed, x, "observed")
        return self._joint(x, observed)

    def _joint(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Log p(x, y), float64 of shape (C, N), less what is `common` to all classes."""
        score, parts = self._features.score(self), row_chunks(x, VALUES_AT_ONCE)
        known = [None] * len(parts) if observed is None else row_chunks(observed, VALUES_AT_ONCE)
        scores = [score(*part) for part in zip(parts, known, strict=True)]
        return torch.cat(scores, 1) + self.log_prior.double()[:, None]


# ---------------------------------------------------------------------- kinds of features


class _Features:
    """What is counted of one kind of features, and what follows from it."""

    support: constraints.Constraint
    buffers: tuple[str, ...]  # of a fitted model; the first has d as its last dimension
    factorises = True  # whether features can be left out

    def estimate(
        self, x: Tensor, y: Tensor, class_counts: Tensor, smoothing: float
    ) -> dict[str, Tensor]:
        """The buffers, from the rows of each class."""
        raise NotImplementedError

    def score(self, model: NaiveBayes) -> Score:
        """A function that gives log p(x | y), float64, less what is `common` to all classes."""
        raise NotImplementedError

    def common(self, x: Tensor) -> Tensor | float:
        """The part of log p(x | y) that does not depend on y."""
        return 0.0

    def means(self, model: NaiveBayes) -> Tensor:
        """E[x_j | y], float64 of shape (C, d)."""
        raise NotImplementedError

    def sample(self, model: NaiveBayes, y: Tensor, generator: Generator | None) -> Tensor:
        """Draw features, a row for each label."""
        raise NotImplementedError


class _Bernoulli(_Features):
    """Whether a word occurs."""

    support = constraints.boolean
    buffers = ("feature_counts",)

    def estimate(
        self, x: Tensor, y: Tensor, class_counts: Tensor, smoothing: float
    ) -> dict[str, Tensor]:
        counts = _class_sums(x, y, len(class_counts))[0].long()
        if not smoothing:
            _refuse_zeros(counts, "never occurs")
            _refuse_zeros(class_counts[:, None] - counts, "always occurs")
        return {"feature_counts": counts}

    def log_shares(self, model: NaiveBayes) -> tuple[Tensor, Tensor]:
        """Log p(x_j = 0 | y) and log p(x_j = 1 | y), float64 of shape (C, d) each.

        Both from counts: log(1 − p) would be infinite where a small pseudo-count rounds p to one.
        """
        rows, present = model.class_counts.double()[:, None], model.feature_counts.double()
        total = (rows + 2 * model.smoothing).log()
        return tuple((n + model.smoothing).log() - total for n in (rows - present, present))

    def score(self, model: NaiveBayes) -> Score:
        absent, present = self.log_shares(model)
        odds, none = present - absent, absent.sum(1, keepdim=True)

        def score(x: Tensor, known: Tensor | None) -> Tensor:
            if known is None:
                return odds @ x.double().T + none
            known = known.double()
            return odds @ (x * known).T + absent @ known.T

        return score

    def means(self, model: NaiveBayes) -> Tensor:
        return self.log_shares(model)[1].exp()

    def sample(self, model: NaiveBayes, y: Tensor, generator: Generator | None) -> Tensor:
        p = self.means(model)[y]
        return uniform(p.shape, p, generator) < p


class _Multinomial(_Features):
    """How often each word occurs, given the number of words; the lengths seen are kept, with no
    regard to class, to draw new texts of such lengths.
    """

    support = constraints.nonnegative_integer
    buffers = ("feature_counts", "lengths")
    factorises = False

    def estimate(
        self, x: Tensor, y: Tensor, class_counts: Tensor, smoothing: float
    ) -> dict[str, Tensor]:
        counts = _class_sums(x, y, len(class_counts))[0].long()
        if not smoothing:
            _refuse_zeros(counts, "never occurs")
        lengths = [part.double().sum(1) for part in row_chunks(x, VALUES_AT_ONCE)]
        return {"feature_counts": counts, "lengths": torch.cat(lengths).long()}

    def shares(self, model: NaiveBayes) -> Tensor:
        """Probability that a word of the text is word j, float64 of shape (C, d)."""
        counts = model.feature_counts.double() + model.smoothing
        return counts / counts.sum(1, keepdim=True)

    def score(self, model: NaiveBayes) -> Score:
        log_shares = self.shares(model).log()
        return lambda x, _: log_shares @ x.double().T

    def common(self, x: Tensor) -> Tensor:
        """Logarithm of the number of orders of the words."""
        return torch.cat(
            [
                torch.lgamma(part.sum(1) + 1) - torch.lgamma(part + 1).sum(1)
                for part in map(Tensor.double, row_chunks(x, VALUES_AT_ONCE))
            ]
        )

    def sample(self, model: NaiveBayes, y: Tensor, generator: Generator | None) -> Tensor:
        which = integers(len(model.lengths), (len(y),), y, generator)
        lengths, shares = model.lengths[which], self.shares(model)
        counts = torch.zeros(len(y), shares.shape[1], dtype=torch.int64, device=y.device)
        for label, share in enumerate(shares):
            mine = (y == label).nonzero()[:, 0]
            text = mine.repeat_interleave(lengths[mine])
            words = categorical(share, uniform((len(text),), share, generator))
            counts.index_put_((text, words), torch.ones_like(words), accumulate=True)
        return counts


class _Gaussian(_Features):
    """A real number, normal in each class."""

    support = constraints.real
    buffers = ("means", "variances")

    def estimate(
        self, x: Tensor, y: Tensor, class_counts: Tensor, smoothing: float
    ) -> dict[str, Tensor]:
        """In two passes: means, as differences from some row of the class, then squares about them.
        So no offset costs digits, and a constant has the variance zero; the second pass corrects
        what the first rounded.
        """
        rows, numbers = class_counts.double()[:, None], torch.arange(len(y), device=y.device)
        first = torch.full_like(class_counts, len(y)).scatter_reduce(0, y, numbers, "amin")
        start = x[first].double()
        means = start + _class_sums(x, y, len(rows), about=start)[0] / rows
        off, squares = _class_sums(x, y, len(rows), about=means)
        means, squares = means + off / rows, squares - off.square() / rows
        between = rows * (means - (rows * means).sum(0) / len(x)).square()
        overall = (squares + between).sum(0) / len(x)
        variances = ((squares + smoothing * overall) / (rows + smoothing)).to(x.dtype)
        if not torch.isfinite(variances).all():
            label, column = first_index(~torch.isfinite(variances))
            raise ValueError(
                f"x: the variance of column {column} in class {label} overflows {x.dtype}; divide "
                "the column by a constant."
            )
        if (variances == 0).any():
            label, column = first_index(variances == 0)
            raise ValueError(self._no_variance(x[:, column], y == label, column, label, smoothing))
        return {"means": means.to(x.dtype), "variances": variances}

    def _no_variance(
        self, x: Tensor, mine: Tensor, column: int, label: int, smoothing: float
    ) -> str:
        """Say why the variance of a column ``x`` is zero in class ``label``, the rows ``mine``."""
        if (x == x[0]).all():
            return (
                f"x: column {column} is constant, {x[0]:g} in every row, so its best density is "
                "infinite whatever the smoothing; leave such columns out, as in "
                "x[:, (x != x[0]).any(0)]."
            )
        if not smoothing and (x[mine] == x[mine][0]).all():
            return (
                f"x: column {column} is constant in class {label}, so its best density is "
                "infinite; use smoothing=1, or leave it out."
            )
        return (
            f"x: column {column} varies so little in class {label} that its variance rounds to "
            f"zero in {x.dtype}; multiply the column by a constant."
        )

    def means(self, model: NaiveBayes) -> Tensor:
        return model.means.double()

    def score(self, model: NaiveBayes) -> Score:
        """By two matrix products, with x² and with x, about the centre of the means.

        The square (x − μ)²/σ² is then a difference of terms as large as (μ − centre)²/σ². Where
        those, summed over the features, pass 10⁶, or a square overflows, it is taken as it stands.
        So an answer is right to 10⁻⁹ nats, and 10⁻¹⁴ of itself where that is more.
        """
        means, variances = model.means.double(), model.variances.double()
        centre = model.log_prior.double().exp() @ means
        away, precision = means - centre, 1 / variances
        distances = away.square() * precision
        constant = -0.5 * (distances + (2 * math.pi * variances).log())

        def by_products(x: Tensor, known: Tensor | None) -> Tensor:
            x, rest = x.double() - centre, constant.sum(1, keepdim=True)
            if known is not None:
                x, rest = x.masked_fill(~known, 0), constant @ known.double().T
            return (-0.5 * precision) @ x.square().T + (away * precision) @ x.T + rest

        def by_differences(x: Tensor, known: Tensor | None) -> Tensor:
            rows = []
            for mean, variance in zip(means, variances, strict=True):
                terms = (x.double() - mean).square() / variance + (2 * math.pi * variance).log()
                terms = terms if known is None else terms.masked_fill(~known, 0)
                rows.append(-0.5 * terms.sum(1))
            return torch.stack(rows)

        def score(x: Tensor, known: Tensor | None) -> Tensor:
            found = by_products(x, known)
            return found if torch.isfinite(found).all() else by_differences(x, known)

        return score if distances.sum(1).max() <= _FAR else by_differences

    def sample(self, model: NaiveBayes, y: Tensor, generator: Generator | None) -> Tensor:
        mean = self.means(model)[y]
        scale = model.variances.double()[y].sqrt()
        return mean + scale * normal(mean.shape, mean, generator)


_FEATURES = {"bernoulli": _Bernoulli, "multinomial": _Multinomial, "gaussian": _Gaussian}


def _class_sums(
    x: Tensor, y: Tensor, classes: int, about: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sums of the rows of each class, float64 of shape (C, d); and where they are taken ``about``
    other rows (C, d), those of the squares.
    """
    sums, squares = torch.zeros(2, classes, x.shape[1], dtype=torch.float64, device=x.device)
    parts = row_chunks(x, VALUES_AT_ONCE)
    for part, label in zip(parts, y.split(len(parts[0])), strict=True):
        part = part.to(torch.float64, copy=True)
        if about is not None:
            part -= about.index_select(0, label)
        sums.index_add_(0, label, part)
        if about is not None:
            squares.index_add_(0, label, part.square_())
    return sums, squares


def _refuse_zeros(counts: Tensor, what: str) -> None:
    if (counts == 0).any():
        label, column = first_index(counts == 0)
        raise ValueError(
            f"x: feature {column} {what} in class {label}; without smoothing, a text in which this "
            "differs is taken to be impossible. Use smoothing=1."
        )
