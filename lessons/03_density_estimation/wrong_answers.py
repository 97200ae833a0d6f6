"""Answers to the exercises of lesson 03, written as tools/coursework/answers.py says."""

_DIAGONAL = "exponent.fill_diagonal_(-math.inf)"
_BALL = "d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)"
_CHOSEN = "torch.randint(len(train), (n,), generator=generator)"
_NOISE = "h * torch.randn(n, train.shape[1], generator=generator)"
_UNIFORM = "(torch.rand(n, train.shape[1], generator=generator) - 0.5)"

WRONG = {
    "histogram": {
        "a fraction is not a density": ("n * volume", "n"),
        "the volume of one side only": (" ** d\n", "\n"),
        "the lower edge lies outside": ("x >= low", "x > low"),
        "outside counts as the nearest cell": ("torch.where(inside, count, 0.0)", "count"),
        "an empty cell is not quite empty": (
            ".div(n * volume).log()",
            ".div(n * volume).add(1e-12 * inside).log()",
        ),
        "whole numbers decide what is inside, cut towards zero": (
            "(x >= low)",
            "(((x - low) / (high - low) * bins).long() >= 0)",
        ),
        "the library's histogram": """
def histogram_log_prob(train, x, bins, low, high):
    model = gl.Histogram(bins=bins, low=low, high=high)
    model.fit(train)
    return model.log_prob(x)
""",
        "the upper edge has a cell of its own": [
            ("count = ", "train = train[(train < high).all(1)]\n    count = "),
            ("x <= high", "x < high"),
        ],
    },
    "leave_one_out": {
        "each row still sees itself": [(_DIAGONAL, "pass"), ("n - 1", "n")],
        "divides by N": ("n - 1", "n"),
        "the volume is h, not h to the d": ("d * math.log(h)", "math.log(h)"),
        "the logarithm of an underflowed sum": (
            "logsumexp(exponent, 1)",
            "log(exponent.exp().sum(1))",
        ),
        "the largest term where the sum underflows": (
            "torch.logsumexp(exponent, 1)",
            "torch.where(exponent.exp().sum(1) > 0, exponent.exp().sum(1).log(), exponent.amax(1))",
        ),
        "the row itself is put far away": (_DIAGONAL, "exponent.fill_diagonal_(-1e9)"),
        "everything at distance zero is left out": (_DIAGONAL, "exponent[exponent == 0] = -1e4"),
    },
    "neighbours": {
        "as it was given": "neighbour_log_density = faulty_log_density",
        "only the neighbour is mended": (_BALL, "math.log(2.0)"),
        "only the ball is mended": ("k - 1", "k if k < n else k - 1"),
        "rows at distance zero are dropped": (
            "torch.cdist(x, train)",
            "torch.cdist(x, train).masked_fill(torch.cdist(x, train) == 0, math.inf)",
        ),
        "rows that coincide count once": [
            ("torch.cdist(x, train)", "torch.cdist(x, train.unique(dim=0))"),
            ("k - 1]", "min(k, distances.shape[1]) - 1]"),
        ],
        "training rows are sorted in place": (
            "n, d = train.shape",
            "n, d = train.shape\n    train[:] = train.sort(0).values",
        ),
        "the library's nearest neighbours": """
def neighbour_log_density(train, x, k):
    model = gl.KNearest(k=k)
    model.fit(train)
    return model.unnormalised_log_prob(x)
""",
        "no radius is smaller than a millionth": ("k - 1]", "k - 1].clamp_min(1e-6)"),
        "a cube instead of a ball": (_BALL, "d * math.log(2.0)"),
        "a disc in every dimension": (_BALL, "math.log(2.0) if d == 1 else math.log(math.pi)"),
    },
    "expected": {
        "the estimate is unbiased": (" + h**2", ""),
        "standard deviations add": ("s**2 + h**2", "(s + h) ** 2"),
        "the kernel alone": ("s**2 + h**2", "torch.as_tensor(2 * h**2)"),
        "an integral over a grid that stays at home": """
def expected_estimate(x, h, w, m, s):
    t = torch.linspace(-30, 30, 12_001).double()
    normals = torch.distributions.Normal(m.double(), s.double())
    truth = normals.log_prob(t[:, None]).exp() @ w.double()
    kernel = torch.distributions.Normal(t, h).log_prob(x.double()[:, None]).exp()
    return torch.trapezoid(kernel * truth, t)
""",
        "an integral over a grid along the kernel": """
def expected_estimate(x, h, w, m, s):
    u = torch.linspace(-8, 8, 2001).double()
    normals = torch.distributions.Normal(m.double(), s.double())
    truth = normals.log_prob((x.double()[:, None] + h * u)[..., None]).exp() @ w.double()
    kernel = torch.distributions.Normal(0, 1).log_prob(u).exp()
    return torch.trapezoid(kernel * truth, u)
""",
        "the weights are forgotten": ("density @ w", "density.sum(1)"),
    },
    "sampling": {
        "a training row is a draw": (" + noise", ""),
        "h is a variance": ("= h *", "= h**0.5 *"),
        "one noise for all coordinates": ("train.shape[1]", "1"),
        "the generator is ignored": ("train.shape[1], generator=generator", "train.shape[1]"),
        "uniform noise of the same spread": (_NOISE, f"h * 12**0.5 * {_UNIFORM}"),
        "rows take turns": (_CHOSEN, "torch.arange(n) % len(train)"),
        "noise with heavier tails": [
            ("noise = ", f"u = {_UNIFORM}\n    noise = "),
            (_NOISE, "h / math.sqrt(2) * -u.sign() * torch.log1p(-2 * u.abs())"),
        ],
        "the seed of the generator, not the generator": [
            (
                _CHOSEN,
                _CHOSEN.replace("=generator", "=torch.manual_seed(generator.initial_seed())"),
            ),
            (_NOISE, _NOISE.replace(", generator=generator", "")),
        ],
        "NumPy with the generator's seed": """
def parzen_sample(train, h, n, generator):
    import numpy as np

    source = np.random.default_rng(generator.initial_seed())
    chosen = source.integers(len(train), size=n)
    return train[chosen] + h * torch.tensor(source.standard_normal((n, train.shape[1])))
""",
        "the function has a seed of its own": [
            (_CHOSEN, _CHOSEN.replace("=generator", "=torch.manual_seed(0)")),
            (_NOISE, _NOISE.replace("=generator", "=torch.manual_seed(1)")),
        ],
        "every draw has a mirror image": """
def parzen_sample(train, h, n, generator):
    half = (n + 1) // 2
    chosen = torch.randint(len(train), (half,), generator=generator)
    noise = h * torch.randn(half, train.shape[1], generator=generator)
    return torch.cat([train[chosen] + noise, train[chosen] - noise])[:n]
""",
        "rows come three times": (
            _CHOSEN,
            "torch.randint(len(train), ((n + 2) // 3,), generator=generator).repeat(3)[:n]",
        ),
        "the library's draws": """
def parzen_sample(train, h, n, generator):
    model = gl.Parzen(bandwidth=h)
    model.fit(train)
    return model.sample(n, generator=generator)
""",
        "rows are sorted": ("train[chosen]", "train[chosen.sort().values]"),
        "only the first rows": (_CHOSEN, "torch.arange(n) % 2"),
    },
}

RIGHT = {
    "histogram": {
        "a comparison of cells instead of counts": """
def histogram_log_prob(train, x, bins, low, high):
    n, d = train.shape
    width = (high - low) / bins
    edges = low + width * torch.arange(1, bins)
    place, asked = torch.bucketize(train, edges, right=True), torch.bucketize(x, edges, right=True)
    count = (asked[:, None] == place).all(-1).sum(1).double()
    count[((x < low) | (x > high)).any(1)] = 0
    return (count / (n * width**d)).log()
""",
    },
    "leave_one_out": {
        "one row at a time, in double precision": """
def leave_one_out(x, h):
    x = x.double()
    n, d = x.shape
    scores = []
    for i in range(n):
        others = torch.cat([x[:i], x[i + 1 :]])
        normal = torch.distributions.Normal(others, h)
        scores.append(torch.logsumexp(normal.log_prob(x[i]).sum(1), 0) - math.log(n - 1))
    return torch.stack(scores)
""",
    },
    "neighbours": {
        "kthvalue and the gamma function": """
def neighbour_log_density(train, x, k):
    n, d = train.shape
    radius = torch.cdist(x, train).kthvalue(k, dim=1).values
    ball = math.pi ** (d / 2) / math.gamma(d / 2 + 1)
    return torch.log(k / (n * ball * radius**d))
""",
    },
    "expected": {
        "a loop over the pieces": """
def expected_estimate(x, h, w, m, s):
    total = 0
    for weight, mean, deviation in zip(w, m, s):
        wide = torch.sqrt(deviation**2 + h**2)
        shape = torch.exp(-0.5 * ((x - mean) / wide) ** 2)
        total = total + weight * shape / (wide * math.sqrt(2 * math.pi))
    return total
""",
    },
    "sampling": {
        "multinomial and normal": [
            (_CHOSEN, "torch.ones(len(train)).multinomial(n, True, generator=generator)"),
            (f"    noise = {_NOISE}\n", ""),
            ("train[chosen] + noise", "torch.normal(train[chosen], h, generator=generator)"),
        ],
    },
}
