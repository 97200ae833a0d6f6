"""Naive Bayes: a label, and features that are independent once the label is known.

Sources: the chapter on structure of document H; McCallum and Nigam (1998) for the two models of
text; Ng and Jordan (2002) for the comparison with logistic regression.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from genlib.core import Density, History, Model
from genlib.core.random import categorical, uniform
from genlib.core.validation import check_event, check_labels, check_positive, first_index
from genlib.models.graphical.tables import VALUES_AT_ONCE


class NaiveBayes(Model):
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
        super().__init__()
        if likelihood not in _FEATURES:
            raise ValueError(
                f"likelihood: expected one of {', '.join(_FEATURES)}, got {likelihood!r}."
            )
        if smoothing != 0:
            check_positive(smoothing, "smoothing")
        self.likelihood, self.smoothing = likelihood, smoothing
        self._features = _FEATURES[likelihood](self)
        self.support = self._features.support
        # Counts are integers; this empty buffer carries the dtype and the device of events.
        self.register_buffer("like", torch.empty(0))
        self.fitted_buffers = ("class_counts", *self._features.buffers)
        for name, dtype in {"class_counts": torch.int64, **self._features.buffers}.items():
            self.register_buffer(name, torch.empty(0, dtype=dtype))

    @property
    def event_shape(self) -> torch.Size | None:
        """``(d,)`` once fitted."""
        table = getattr(self, self.fitted_buffers[1])
        return table.shape[1:] if table.numel() else None

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
        check_event(x, None, self.support, dtype=self.dtype, device=self.device)
        if x.dim() != 2:
            raise ValueError(f"x: expected a matrix of shape (N, d), got {tuple(x.shape)}.")
        check_labels(y, len(x), classes=len(x))  # no class without rows, so no more than these
        class_counts = torch.bincount(y)
        if (class_counts == 0).any():
            raise ValueError(
                f"y: expected rows of every class in 0 … {len(class_counts) - 1}, got none of "
                f"class {first_index(class_counts == 0)[0]}; number the classes without gaps."
            )
        if valid is not None:
            self._check_valid(valid, x.shape[1:], len(class_counts))
        for name, value in self._features.estimate(x, y, class_counts).items():
            setattr(self, name, value)
        self.class_counts = class_counts
        if valid is None:
            return History()
        joint = self.joint_log_prob(valid[0]).gather(1, valid[1][:, None])
        return History([{"valid": -joint.mean().item()}])

    def _check_valid(self, valid: object, event_shape: torch.Size, classes: int) -> None:
        if not isinstance(valid, tuple) or len(valid) != 2:
            raise TypeError(
                f"valid: expected a pair (x, y) of rows and labels, got {type(valid).__name__}."
            )
        x, y = valid
        check_event(
            x, event_shape, self.support, dtype=self.dtype, device=self.device, name="valid"
        )
        check_labels(y, len(x), classes)

    # ------------------------------------------------------------------ queries

    def joint_log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Log p(x, y) of each row with every label, in nats.

        Parameters
        ----------
        x : Tensor, shape (N, d)
        observed : Tensor of bool, shape (N, d), optional
            Which features are known. The others are summed out, which for a product means leaving
            their factors out; their values in ``x`` are not looked at, though they must be valid.

        Returns
        -------
        Tensor, shape (N, C)
        """
        self._require_data("joint_log_prob")
        self.check(x)
        if observed is not None:
            self._check_observed(x, observed)
        return self._joint(x, observed).to(x.dtype)

    def predict_proba(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """p(y | x) by Bayes' rule, shape (N, C); of the known features alone where ``observed``
        (N, d) says which they are.
        """
        self._require_data("predict_proba")
        self.check(x)
        if observed is not None:
            self._check_observed(x, observed)
        return self._joint(x, observed).softmax(1).to(x.dtype)

    def predict(self, x: Tensor) -> Tensor:
        """The most probable label of each row, int64 of shape (N,)."""
        self._require_data("predict")
        self.check(x)
        return self._joint(x).argmax(1)

    def predict_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """E[x | known features], shape (N, d): Σ_y p(y | known) E[x_j | y] where a feature is
        missing, and its value where it is known. Of a word that occurs or not, this is the
        probability that it does.
        """
        self._require_data("predict_missing")
        self.check(x)
        self._check_observed(x, observed)
        expected = self._joint(x, observed).softmax(1) @ self._features.means()
        return torch.where(observed, x, expected.to(x.dtype))

    def _log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        joint = self._joint(x)
        if y is None:
            return joint.logsumexp(1).to(x.dtype)
        return (joint - self._log_prior()).gather(1, y[:, None])[:, 0].to(x.dtype)

    def _sample(self, n: int, generator: Generator | None, y: Tensor | None = None) -> Tensor:
        if y is None:
            prior = self._log_prior().exp()
            y = categorical(prior, uniform((n,), prior, generator))
        return self._features.sample(y, generator).to(self.dtype)

    def _encode(self, x: Tensor) -> Tensor:
        return self._joint(x).softmax(1).to(x.dtype)

    def _log_prior(self) -> Tensor:
        return (self.class_counts.double() / self.class_counts.sum()).log()

    def _joint(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Log p(x, y), float64 of shape (N, C), a part of the rows at a time."""
        rows = max(1, VALUES_AT_ONCE // x.shape[1])
        known = [None] * len(x) if observed is None else observed.split(rows)
        parts = [self._features.log_prob(*part) for part in zip(x.split(rows), known, strict=False)]
        return torch.cat(parts) + self._log_prior()

    def _check_observed(self, x: Tensor, observed: object) -> None:
        if not self._features.factorises:
            raise ValueError(
                "observed: counts of words are modelled given their number, so none of them can be "
                'left out; use likelihood="bernoulli".'
            )
        if not isinstance(observed, Tensor) or observed.dtype != torch.bool:
            came = observed.dtype if isinstance(observed, Tensor) else type(observed).__name__
            raise TypeError(
                f"observed: expected a tensor of bool, true where a feature is known, got {came}."
            )
        if observed.shape != x.shape:
            raise ValueError(
                f"observed: expected the shape of x, {tuple(x.shape)}, got {tuple(observed.shape)}."
            )


# ---------------------------------------------------------------------- kinds of features


class _Bernoulli:
    """Whether a word occurs."""

    support = constraints.boolean
    buffers: ClassVar[dict[str, torch.dtype]] = {"feature_counts": torch.int64}
    factorises = True

    def __init__(self, model: NaiveBayes) -> None:
        self.model = model

    def estimate(self, x: Tensor, y: Tensor, class_counts: Tensor) -> dict[str, Tensor]:
        # A part's sums of zeros and ones are below 2²⁴, and so exact in float32.
        counts = _sums_by_class(x, y, len(class_counts), torch.float32).long()
        if not self.model.smoothing:
            _refuse_zeros(counts, "never occurs")
            _refuse_zeros(class_counts[:, None] - counts, "always occurs")
        return {"feature_counts": counts}

    def log_shares(self) -> tuple[Tensor, Tensor]:
        """Log p(x_j = 0 | y) and log p(x_j = 1 | y), float64 of shape (C, d) each.

        Both from counts: log(1 − p) would be infinite where a small pseudo-count rounds p to one.
        """
        rows = self.model.class_counts.double()[:, None]
        present, alpha = self.model.feature_counts.double(), self.model.smoothing
        total = (rows + 2 * alpha).log()
        return (rows - present + alpha).log() - total, (present + alpha).log() - total

    def means(self) -> Tensor:
        """p(x_j = 1 | y), float64 of shape (C, d)."""
        return self.log_shares()[1].exp()

    def log_prob(self, x: Tensor, observed: Tensor | None) -> Tensor:
        absent, present = self.log_shares()
        x = x.double()
        if observed is None:
            return x @ (present - absent).T + absent.sum(1)
        known = observed.double()
        return (x * known) @ (present - absent).T + known @ absent.T

    def sample(self, y: Tensor, generator: Generator | None) -> Tensor:
        p = self.means()[y]
        return torch.rand(p.shape, generator=generator, dtype=p.dtype).to(p) < p


class _Multinomial:
    """How often each word occurs, given the number of words; the lengths seen are kept, with no
    regard to class, to draw new texts of such lengths.
    """

    support = constraints.nonnegative_integer
    buffers: ClassVar[dict[str, torch.dtype]] = {
        "feature_counts": torch.int64,
        "lengths": torch.int64,
    }
    factorises = False

    def __init__(self, model: NaiveBayes) -> None:
        self.model = model

    def estimate(self, x: Tensor, y: Tensor, class_counts: Tensor) -> dict[str, Tensor]:
        counts = _sums_by_class(x, y, len(class_counts)).long()
        if not self.model.smoothing:
            _refuse_zeros(counts, "never occurs")
        return {"feature_counts": counts, "lengths": x.double().sum(1).long()}

    def shares(self) -> Tensor:
        """Probability that a word of the text is word j, float64 of shape (C, d)."""
        counts = self.model.feature_counts.double() + self.model.smoothing
        return counts / counts.sum(1, keepdim=True)

    def log_prob(self, x: Tensor, _: None = None) -> Tensor:
        x = x.double()
        orders = torch.lgamma(x.sum(1) + 1) - torch.lgamma(x + 1).sum(1)
        return x @ self.shares().log().T + orders[:, None]

    def sample(self, y: Tensor, generator: Generator | None) -> Tensor:
        which = torch.randint(len(self.model.lengths), (len(y),), generator=generator)
        lengths = self.model.lengths[which.to(y.device)]
        shares = self.shares()
        counts = torch.zeros(len(y), shares.shape[1], dtype=torch.int64, device=y.device)
        for label, share in enumerate(shares):
            mine = (y == label).nonzero()[:, 0]
            text = mine.repeat_interleave(lengths[mine])
            words = categorical(share, uniform((len(text),), share, generator))
            counts.index_put_((text, words), torch.ones_like(words), accumulate=True)
        return counts


class _Gaussian:
    """A real number, normal in each class."""

    support = constraints.real
    buffers: ClassVar[dict[str, torch.dtype | None]] = {"means": None, "variances": None}
    factorises = True

    def __init__(self, model: NaiveBayes) -> None:
        self.model = model

    def estimate(self, x: Tensor, y: Tensor, class_counts: Tensor) -> dict[str, Tensor]:
        centre, rows = x.double().mean(0), class_counts.double()[:, None]
        x = x.double() - centre
        means = _sums_by_class(x, y, len(class_counts)) / rows
        squares = _sums_by_class((x - means[y]) ** 2, y, len(class_counts))
        alpha = self.model.smoothing
        variances = (squares + alpha * x.var(0, correction=0)) / (rows + alpha)
        variances = variances.to(self.model.dtype)
        if (variances == 0).any():
            label, column = first_index(variances == 0)
            raise ValueError(
                f"x: column {column} is constant in class {label}, so its best density is "
                "infinite; use smoothing=1, or leave it out."
            )
        return {"means": (means + centre).to(self.model.dtype), "variances": variances}

    def means(self) -> Tensor:
        return self.model.means.double()

    def log_prob(self, x: Tensor, observed: Tensor | None) -> Tensor:
        variances = self.model.variances.double()
        columns = []
        for mean, variance in zip(self.means(), variances, strict=True):
            terms = (x.double() - mean) ** 2 / variance + (2 * math.pi * variance).log()
            if observed is not None:
                terms = terms.masked_fill(~observed, 0)
            columns.append(-0.5 * terms.sum(1))
        return torch.stack(columns, 1)

    def sample(self, y: Tensor, generator: Generator | None) -> Tensor:
        mean = self.means()[y]
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean)
        return mean + self.model.variances.double()[y].sqrt() * noise


_FEATURES = {"bernoulli": _Bernoulli, "multinomial": _Multinomial, "gaussian": _Gaussian}


def _sums_by_class(
    x: Tensor, y: Tensor, classes: int, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Sum of the rows of each class, float64 of shape (C, d); within a part, in ``dtype``."""
    rows = max(1, VALUES_AT_ONCE // x.shape[1])
    sums = torch.zeros(classes, x.shape[1], dtype=torch.float64, device=x.device)
    for part, label in zip(x.split(rows), y.split(rows), strict=True):
        sums += torch.nn.functional.one_hot(label, classes).to(dtype).T @ part.to(dtype)
    return sums


def _refuse_zeros(counts: Tensor, what: str) -> None:
    if (counts == 0).any():
        label, column = first_index(counts == 0)
        raise ValueError(
            f"x: feature {column} {what} in class {label}; without smoothing, a text in which this "
            "differs is taken to be impossible. Use smoothing=1."
        )
