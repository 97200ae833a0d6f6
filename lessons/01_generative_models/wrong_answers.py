"""Answers to the exercises of lesson 01 that graders must tell apart.

``WRONG`` holds what students really write, each under the misconception behind it, and ``RIGHT``
what is right though written otherwise than in the notebook. Each replaces the whole solution cell
of its exercise.
"""

_STAIRCASE = """
def wasserstein(x, y):
    steps = torch.cat([x, y]).sort().values
    F = (x[:, None] <= steps).double().{divide_x}
    G = (y[:, None] <= steps).double().{divide_y}
    return {answer}
"""
_AREA = "((F - G).abs()[:-1] * steps.diff()).sum()"

_MMD = """
def honest_mmd(x, y, width):
    def kernel(a, b):
        return torch.exp(-{squares} / ({scale}))

    def within(a):
        k = kernel(a, a)
        return {within}

    return {answer}
"""
_SQUARES = "((a[:, None] - b) ** 2).sum(-1)"
_SCALE = "2 * width**2"
_WITHIN = "(k.sum() - k.diagonal().sum()) / (len(a) * (len(a) - 1))"
_DIFFERENCE = "within(x) + within(y) - 2 * kernel(x, y).mean()"

_PUSH = """
def pushed_log_prob(x, A, b):
    d = x.shape[1]
    inner = torch.asinh(x)
    z = torch.linalg.solve(A, (inner - b).T).T
    log_p_z = -0.5 * (z**2).sum(1) - d / 2 * math.log(2 * math.pi)
    return log_p_z {sign} ({matrix} + {slope})
"""
_MATRIX = "torch.linalg.slogdet(A).logabsdet"
_SLOPE = "torch.cosh(inner).log().sum(1)"

_DILUTED = """
def diluted(log_p, log_u, share):
    return {mixture}


def hidden_share(nats):
    return {hidden}
"""
_MIXTURE = (
    "torch.logaddexp(log_p + math.log(share), "
    "log_u + torch.log1p(torch.tensor(-share, dtype=torch.float64)))"
)
_HIDDEN = "math.exp(-nats)"

_FOLDED = """
class Folded(gl.Model):
    density = gl.Density.{density}
    support = constraints.{support}
    event_shape = torch.Size([1])
    cannot = {cannot}

    def __init__(self, mu, sigma):
        super().__init__()
        self.mu, self.sigma = mu, sigma

    def normal(self, x):
        z = (x - self.mu) / self.sigma
        return -0.5 * z**2 - {constant}

    def _log_prob(self, x):
        return {log_prob}

    def _sample(self, n, generator):
        return {sample}
"""
_MODEL = {
    "density": "EXACT",
    "support": "nonnegative",
    "cannot": '{"encode": "which side a shot fell on is lost in the fold."}',
    "constant": "math.log(self.sigma) - 0.5 * math.log(2 * math.pi)",
    "log_prob": "torch.logaddexp(self.normal(x), self.normal(-x)).squeeze(1)",
    "sample": "(self.mu + self.sigma * torch.randn(n, 1, generator=generator)).abs()",
}


def _folded(**changes):
    return _FOLDED.format(**(_MODEL | changes))


WRONG = {
    "wasserstein": {
        "nothing is sorted": """
def wasserstein(x, y):
    n = min(len(x), len(y))
    return (x[:n] - y[:n]).abs().mean()
""",
        "the distance of the means": """
def wasserstein(x, y):
    return (x.mean() - y.mean()).abs()
""",
        "the longer sample is cut": """
def wasserstein(x, y):
    n = min(len(x), len(y))
    return (x.sort().values[:n] - y.sort().values[:n]).abs().mean()
""",
        "each row carries mass one": _STAIRCASE.format(
            divide_x="sum(0) / len(x)", divide_y="sum(0) / len(x)", answer=_AREA
        ),
        "order two": """
def wasserstein(x, y):
    x, y = x.sort().values.repeat_interleave(len(y)), y.sort().values.repeat_interleave(len(x))
    return (x - y).square().mean().sqrt()
""",
        "the largest gap of the staircases": _STAIRCASE.format(
            divide_x="mean(0)", divide_y="mean(0)", answer="(F - G).abs().max()"
        ),
        "quantiles by interpolation": """
def wasserstein(x, y):
    levels = (torch.arange(1000) + 0.5) / 1000
    return (torch.quantile(x, levels) - torch.quantile(y, levels)).abs().mean()
""",
        "the shorter sample is stretched by interpolation": """
def wasserstein(x, y):
    n = max(len(x), len(y))
    levels = torch.linspace(0, 1, n)
    return (torch.quantile(x, levels) - torch.quantile(y, levels)).abs().mean()
""",
        "the signed area": _STAIRCASE.format(
            divide_x="mean(0)",
            divide_y="mean(0)",
            answer="((F - G)[:-1] * steps.diff()).sum().abs()",
        ),
        "the mean distance of all pairs": """
def wasserstein(x, y):
    return (x[:, None] - y).abs().mean()
""",
        "repeated values count once": """
def wasserstein(x, y):
    x, y = x.unique(), y.unique()
    steps = torch.cat([x, y]).sort().values
    F = (x[:, None] <= steps).double().mean(0)
    G = (y[:, None] <= steps).double().mean(0)
    return ((F - G).abs()[:-1] * steps.diff()).sum()
""",
    },
    "honest_mmd": {
        "each row is paired with itself": _MMD.format(
            squares=_SQUARES, scale=_SCALE, within="k.mean()", answer=_DIFFERENCE
        ),
        "self-pairs out of the sum but not out of the count": _MMD.format(
            squares=_SQUARES,
            scale=_SCALE,
            within="(k.sum() - k.diagonal().sum()) / len(a) ** 2",
            answer=_DIFFERENCE,
        ),
        "the cross term counts once": _MMD.format(
            squares=_SQUARES,
            scale=_SCALE,
            within=_WITHIN,
            answer="within(x) + within(y) - kernel(x, y).mean()",
        ),
        "a distance cannot be negative": _MMD.format(
            squares=_SQUARES, scale=_SCALE, within=_WITHIN, answer=f"({_DIFFERENCE}).clamp_min(0)"
        ),
        "the absolute value": _MMD.format(
            squares=_SQUARES, scale=_SCALE, within=_WITHIN, answer=f"({_DIFFERENCE}).abs()"
        ),
        "the two of the kernel is forgotten": _MMD.format(
            squares=_SQUARES, scale="width**2", within=_WITHIN, answer=_DIFFERENCE
        ),
        "the width is a variance": _MMD.format(
            squares=_SQUARES, scale="2 * width", within=_WITHIN, answer=_DIFFERENCE
        ),
        "the distance instead of its square": _MMD.format(
            squares="((a[:, None] - b) ** 2).sum(-1).sqrt()",
            scale=_SCALE,
            within=_WITHIN,
            answer=_DIFFERENCE,
        ),
        "coordinates are averaged": _MMD.format(
            squares="((a[:, None] - b) ** 2).mean(-1)",
            scale=_SCALE,
            within=_WITHIN,
            answer=_DIFFERENCE,
        ),
        "everything at distance zero is left out": _MMD.format(
            squares=_SQUARES, scale=_SCALE, within="k[k < 1].mean()", answer=_DIFFERENCE
        ),
        "all differences enter once, as a sum over i < j divided by all pairs": _MMD.format(
            squares=_SQUARES,
            scale=_SCALE,
            within="k.triu(1).sum() / (len(a) * (len(a) - 1))",
            answer=_DIFFERENCE,
        ),
    },
    "push": {
        "as it was given": _PUSH.format(
            sign="+", matrix="A.diagonal().abs().log().sum()", slope=_SLOPE
        ),
        "only the sign is mended": _PUSH.format(
            sign="-", matrix="A.diagonal().abs().log().sum()", slope=_SLOPE
        ),
        "only the determinant is mended": _PUSH.format(sign="+", matrix=_MATRIX, slope=_SLOPE),
        "the sign of the determinant is kept": _PUSH.format(
            sign="-", matrix="torch.linalg.det(A).log()", slope=_SLOPE
        ),
        "the slope of sinh is forgotten": _PUSH.format(sign="-", matrix=_MATRIX, slope="0"),
        "the slope is taken at x": _PUSH.format(
            sign="-", matrix=_MATRIX, slope="torch.cosh(x).log().sum(1)"
        ),
        "the slope divides and the matrix multiplies": _PUSH.format(
            sign="-", matrix=f"-{_MATRIX}", slope=_SLOPE
        ),
        "a norm instead of a volume": _PUSH.format(
            sign="-", matrix="A.norm().log() * d", slope=_SLOPE
        ),
    },
    "diluted": {
        "logarithms are averaged": _DILUTED.format(
            mixture="share * log_p + (1 - share) * log_u", hidden=_HIDDEN
        ),
        "the share is that of the noise": _DILUTED.format(
            mixture="torch.logaddexp(log_p + torch.log1p(torch.tensor(-share)), "
            "log_u + math.log(share))",
            hidden=_HIDDEN,
        ),
        "the logarithm of an underflowed sum": _DILUTED.format(
            mixture="(share * log_p.exp() + (1 - share) * log_u.exp()).log()", hidden=_HIDDEN
        ),
        "shifted by log p, whichever is larger": _DILUTED.format(
            mixture="log_p + torch.log(share + (1 - share) * (log_u - log_p).exp())",
            hidden=_HIDDEN,
        ),
        "the noise adds nothing": _DILUTED.format(
            mixture="log_p + math.log(share) + 0 * log_u", hidden=_HIDDEN
        ),
        "the larger of the two": _DILUTED.format(
            mixture="torch.maximum(log_p + math.log(share), "
            "log_u + torch.log1p(torch.tensor(-share)))",
            hidden=_HIDDEN,
        ),
        "the loss is in bits": _DILUTED.format(mixture=_MIXTURE, hidden="2.0**-nats"),
        "the share that is lost": _DILUTED.format(mixture=_MIXTURE, hidden="1 - math.exp(-nats)"),
        "one over the loss": _DILUTED.format(mixture=_MIXTURE, hidden="1 / (1 + nats)"),
    },
    "folded": {
        "one z for each x": _folded(log_prob="self.normal(x).squeeze(1)"),
        "twice the one side": _folded(log_prob="self.normal(x).squeeze(1) + math.log(2)"),
        "sigma is forgotten in the density": _folded(constant="0.5 * math.log(2 * math.pi)"),
        "the sum underflows": _folded(
            log_prob="(self.normal(x).exp() + self.normal(-x).exp()).log().squeeze(1)"
        ),
        "a fold makes the density implicit": _folded(density="IMPLICIT"),
        "any number is an event": _folded(support="real"),
        "the event has no shape": _folded().replace("event_shape = torch.Size([1])", "lesson = ''"),
        "zero is no distance": _folded(support="positive"),
        "refuses without a reason": _folded(cannot="{}"),
        "the generator is ignored": _folded(
            sample="(self.mu + self.sigma * torch.randn(n, 1)).abs()"
        ),
        "draws are not folded": _folded(
            sample="self.mu + self.sigma * torch.randn(n, 1, generator=generator)"
        ),
        "sigma is a variance in the draws": _folded(
            sample="(self.mu + self.sigma**0.5 * torch.randn(n, 1, generator=generator)).abs()"
        ),
        "folds before it shifts": _folded(
            sample="self.mu + self.sigma * torch.randn(n, 1, generator=generator).abs()"
        ),
        "one noise for all draws": _folded(
            sample="(self.mu + self.sigma * torch.randn(1, 1, generator=generator))"
            ".abs().expand(n, 1)"
        ),
    },
}

RIGHT = {
    "wasserstein": {
        "equal grains": """
def wasserstein(x, y):
    n, m = len(x), len(y)
    grains = math.lcm(n, m)
    a = x.double().sort().values.repeat_interleave(grains // n)
    b = y.double().sort().values.repeat_interleave(grains // m)
    return (a - b).abs().mean()
""",
        "the area between two staircases": _STAIRCASE.format(
            divide_x="mean(0)", divide_y="mean(0)", answer=_AREA
        ),
        "SciPy": """
def wasserstein(x, y):
    from scipy.stats import wasserstein_distance

    return wasserstein_distance(x.numpy(), y.numpy())
""",
    },
    "honest_mmd": {
        "a product over coordinates": """
def honest_mmd(x, y, width):
    def total(a, b):
        return torch.exp(-0.5 * ((a[:, None] - b) / width) ** 2).double().prod(-1).sum()

    n, m = len(x), len(y)
    same = (total(x, x) - n) / (n * (n - 1)) + (total(y, y) - m) / (m * (m - 1))
    return same - 2 * total(x, y) / (n * m)
""",
    },
    "push": {
        "the slope of asinh": _PUSH.format(
            sign="-", matrix=_MATRIX, slope="0.5 * torch.log1p(x**2).sum(1)"
        ),
        "the determinant of the inverse": _PUSH.format(
            sign="+",
            matrix="torch.linalg.slogdet(torch.linalg.inv(A)).logabsdet",
            slope="-torch.cosh(inner).log().sum(1)",
        ),
    },
    "diluted": {
        "logsumexp": """
def diluted(log_p, log_u, share):
    weights = torch.tensor([share, 1 - share]).double().log()
    both = torch.stack([log_p + weights[0], log_u + weights[1]])
    return torch.logsumexp(both, 0)


def hidden_share(nats):
    return 1 / math.exp(nats)
""",
    },
    "folded": {
        "the library's normal, and logsumexp": """
class Folded(gl.Model):
    density = gl.Density.EXACT
    support = constraints.nonnegative
    event_shape = torch.Size([1])
    cannot = {"encode": "it describes where shots land and says nothing about a single one."}

    def __init__(self, mu, sigma):
        super().__init__()
        self.normal = torch.distributions.Normal(torch.tensor(float(mu)), float(sigma))

    def _log_prob(self, x):
        return torch.logsumexp(self.normal.log_prob(torch.cat([x, -x], dim=1)), dim=1)

    def _sample(self, n, generator):
        z = torch.randn((n, 1), generator=generator)
        return torch.abs(z * self.normal.scale + self.normal.loc)
""",
        "written out": _folded(),
    },
}
