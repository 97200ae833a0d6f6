"""Answers to the exercises of lesson 01, written as tools/coursework/answers.py says."""

_MMD = "within(x) + within(y) - 2 * kernel(x, y).mean()"
_DETERMINANT = "torch.linalg.slogdet(A).logabsdet"
_MIXTURE = "torch.logaddexp(log_p + weights[0], log_u + weights[1])"
_SIDES = "torch.logaddexp(normal.log_prob(x), normal.log_prob(-x))"
_NORMAL = "normal = torch.distributions.Normal(self.mu, self.sigma)"

WRONG = {
    "wasserstein": {
        "nothing is sorted": """
def wasserstein(x, y):
    return (x[: len(y)] - y[: len(x)]).abs().mean()
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
        "each row carries mass one": ("len(y)", "len(x)"),
        "order two": """
def wasserstein(x, y):
    x, y = x.sort().values.repeat_interleave(len(y)), y.sort().values.repeat_interleave(len(x))
    return (x - y).square().mean().sqrt()
""",
        "the largest gap of the staircases": (" * steps.diff()).sum()", ").max()"),
        "quantiles by interpolation": """
def wasserstein(x, y):
    levels = (torch.arange(1000) + 0.5) / 1000
    return (torch.quantile(x, levels) - torch.quantile(y, levels)).abs().mean()
""",
        "the shorter sample is stretched by interpolation": """
def wasserstein(x, y):
    levels = torch.linspace(0, 1, max(len(x), len(y)))
    return (torch.quantile(x, levels) - torch.quantile(y, levels)).abs().mean()
""",
        "an integral on a fine grid": """
def wasserstein(x, y):
    t = torch.linspace(min(x.min(), y.min()), max(x.max(), y.max()), 200_001).double()
    F, G = (torch.searchsorted(v.double().sort().values, t, right=True) for v in (x, y))
    return torch.trapezoid((F / len(x) - G / len(y)).abs(), t)
""",
        "a fine grid of levels": """
def wasserstein(x, y):
    u = (torch.arange(200_000) + 0.5).double() / 200_000
    a, b = (v.sort().values[(u * len(v)).long()] for v in (x, y))
    return (a - b).abs().double().mean()
""",
        "the signed area": (".abs() * steps.diff()).sum()", " * steps.diff()).sum().abs()"),
        "the mean distance of all pairs": """
def wasserstein(x, y):
    return (x[:, None] - y).abs().mean()
""",
        "repeated values count once": ("steps = ", "x, y = x.unique(), y.unique()\n    steps = "),
    },
    "honest_mmd": {
        "each row is paired with itself": ("[others]", ""),
        "self-pairs out of the sum but not out of the count": ("].mean()", "].sum() / len(a) ** 2"),
        "the cross term counts once": ("- 2 *", "-"),
        "a distance cannot be negative": (_MMD, f"({_MMD}).clamp_min(0)"),
        "the absolute value": (_MMD, f"({_MMD}).abs()"),
        "the two of the kernel is forgotten": ("(2 * width**2)", "width**2"),
        "the width is a variance": ("width**2", "width"),
        "the distance instead of its square": (".sum(-1)", ".sum(-1).sqrt()"),
        "coordinates are averaged": (".sum(-1)", ".mean(-1)"),
        "everything at distance zero is left out": ("[others]", "[kernel(a, a) < 1]"),
        "all differences enter once, as a sum over i < j divided by all pairs": (
            "[others].mean()",
            ".triu(1).sum() / (len(a) * (len(a) - 1))",
        ),
    },
    "push": {
        "as it was given": "pushed_log_prob = faulty_log_prob",
        "only the sign is mended": (_DETERMINANT, "A.diagonal().abs().log().sum()"),
        "only the determinant is mended": ("- log_det", "+ log_det"),
        "the sign of the determinant is kept": (_DETERMINANT, "torch.linalg.det(A).log()"),
        "the slope of sinh is forgotten": (" + torch.cosh(inner).log().sum(1)", ""),
        "the slope is taken at x": ("cosh(inner)", "cosh(x)"),
        "the slope divides and the matrix multiplies": (_DETERMINANT, f"-{_DETERMINANT}"),
        "asinh in place": ("torch.asinh(x)", "x.asinh_()"),
        "a norm instead of a volume": (_DETERMINANT, "A.norm().log() * d"),
    },
    "diluted": {
        "logarithms are averaged": (_MIXTURE, "weight * log_p + (1 - weight) * log_u"),
        "the weight is that of the noise": ("[weight, 1 - weight]", "[1 - weight, weight]"),
        "the logarithm of an underflowed sum": (
            _MIXTURE,
            "(weight * log_p.exp() + (1 - weight) * log_u.exp()).log()",
        ),
        "shifted by log p, whichever is larger": (
            _MIXTURE,
            "log_p + torch.log(weight + (1 - weight) * (log_u - log_p).exp())",
        ),
        "shifted by the larger of the two, weights inside": (
            _MIXTURE,
            "torch.maximum(log_p, log_u) + (weight * (log_p - torch.maximum(log_p, log_u)).exp()"
            " + (1 - weight) * (log_u - torch.maximum(log_p, log_u)).exp()).log()",
        ),
        "a little is added so that zero has a logarithm": ("1 - weight]", "1 - weight + 1e-300]"),
        "the weight is added in place": (
            _MIXTURE,
            "torch.logaddexp(log_p.add_(weights[0]), log_u + weights[1])",
        ),
        "the noise adds nothing": (_MIXTURE, "log_p + weights[0]"),
        "the larger of the two": ("logaddexp", "maximum"),
        "the loss is in bits": ("math.exp(-nats)", "2.0**-nats"),
        "the weight that is lost": ("math.exp(-nats)", "1 - math.exp(-nats)"),
        "one over the loss": ("math.exp(-nats)", "1 / (1 + nats)"),
    },
    "folded": {
        "one z for each x": (_SIDES, "normal.log_prob(x)"),
        "twice the one side": (_SIDES, "(math.log(2) + normal.log_prob(x))"),
        "sigma is forgotten in the density": (_SIDES, f"({_SIDES} + math.log(self.sigma))"),
        "the sum underflows": (
            _SIDES,
            "(normal.log_prob(x).exp() + normal.log_prob(-x).exp()).log()",
        ),
        "a fold makes the density implicit": ("EXACT", "IMPLICIT"),
        "any number is an event": ("nonnegative", "real"),
        "the event has no shape": ("    event_shape = torch.Size([1])\n", ""),
        "zero is no distance": ("nonnegative", "positive"),
        "refuses without a reason": (
            '"encode": "the fold forgets on which side of zero a shot fell."',
            "",
        ),
        "the generator is ignored": (", generator=generator", ""),
        "the seed of the generator, not the generator": (
            "generator=generator",
            "generator=torch.Generator().manual_seed(generator.initial_seed())",
        ),
        "draws are not folded": (".abs()", ""),
        "sigma is a variance in the draws": ("self.sigma *", "self.sigma**0.5 *"),
        "folds before it shifts": (").abs()", ".abs())"),
        "draws are sorted": (".abs()", ".abs().sort(0).values"),
        "every draw comes twice": (
            "torch.randn(n, 1, generator=generator)",
            "torch.randn((n + 1) // 2, 1, generator=generator).repeat(2, 1)[:n]",
        ),
        "every other z mirrors the one before": [
            ("torch.randn(n, 1,", "torch.randn((n + 1) // 2, 1,"),
            (".abs()", ".abs()[:n]"),
            ("self.sigma * z", "self.sigma * torch.stack([z, -z], 1).flatten(0, 1)"),
        ],
        "one noise for all draws": [("randn(n,", "randn(1,"), (".abs()", ".abs().expand(n, 1)")],
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
        "the area between two staircases": """
def wasserstein(x, y):
    steps = torch.cat([x, y]).sort().values
    F, G = ((rows[:, None] <= steps).double().mean(0) for rows in (x, y))
    return ((F - G).abs()[:-1] * steps.diff()).sum()
""",
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
        "row by row": """
def pushed_log_prob(x, A, b):
    log_p_x = []
    for row in x:
        inner = torch.asinh(row)
        z = torch.linalg.solve(A, inner - b)
        base = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum()
        log_p_x.append(base - torch.linalg.slogdet(A)[1] - torch.log(torch.cosh(inner)).sum())
    return torch.stack(log_p_x)
""",
        "an inverse in double precision": (
            "torch.linalg.solve(A, (inner - b).T).T",
            "(inner - b) @ torch.linalg.solve(A, torch.eye(d, dtype=torch.float64)).T",
        ),
        "the slope of asinh": ("torch.cosh(inner).log()", "0.5 * torch.log1p(x**2)"),
        "the determinant of the inverse": [
            (_DETERMINANT, "torch.linalg.slogdet(torch.linalg.inv(A)).logabsdet"),
            ("+ torch.cosh", "- torch.cosh"),
            ("- log_det", "+ log_det"),
        ],
    },
    "diluted": {
        "logsumexp": [
            (_MIXTURE, "torch.stack([log_p + weights[0], log_u + weights[1]]).logsumexp(0)"),
            ("math.exp(-nats)", "1 / math.exp(nats)"),
        ],
    },
    "folded": {
        "row by row, with a tuple for the shape": [
            ("torch.Size([1])", "(1,)"),
            (
                f"{_SIDES}[:, 0]",
                "torch.stack([torch.logaddexp(normal.log_prob(v), normal.log_prob(-v)) "
                "for v in x[:, 0]])",
            ),
        ],
        "the square written out": [
            (_NORMAL, "x, variance = x[:, 0], self.sigma**2"),
            (
                f"{_SIDES}[:, 0]",
                "torch.logaddexp(x * self.mu / variance, -x * self.mu / variance)"
                " - (x**2 + self.mu**2) / (2 * variance)"
                " - math.log(self.sigma * math.sqrt(2 * math.pi))",
            ),
        ],
        "the library's normal, and logsumexp": [
            (
                "self.mu, self.sigma = mu, sigma",
                "self.normal = torch.distributions.Normal(mu, sigma)",
            ),
            (_NORMAL, "normal = self.normal"),
            (f"{_SIDES}[:, 0]", "normal.log_prob(torch.cat([x, -x], 1)).logsumexp(1)"),
            ("self.mu + self.sigma *", "self.normal.loc + self.normal.scale *"),
        ],
        "written out": [
            (_NORMAL, "z = torch.cat([x - self.mu, x + self.mu], 1) / self.sigma"),
            (
                f"{_SIDES}[:, 0]",
                "torch.logsumexp(-0.5 * z**2, 1) - math.log(self.sigma * math.sqrt(2 * math.pi))",
            ),
        ],
    },
}
