"""Answers to the exercises of lesson 03 that graders must tell apart.

``WRONG`` holds what students really write, each under the misconception behind it, and ``RIGHT``
what is right though written otherwise than in the notebook. Each replaces the whole solution cell
of its exercise.
"""

_HISTOGRAM = """
def histogram_log_prob(train, x, bins, low, high):
    n, d = train.shape
    width = (high - low) / bins
    edges = low + width * torch.arange(1, bins)
    place, asked = torch.bucketize(train, edges, right=True), torch.bucketize(x, edges, right=True)
    count = (asked[:, None] == place).all(-1).sum(1).double()
    {outside}
    return (count / {divisor}).log()
"""
_OUTSIDE = "count[((x < low) | (x > high)).any(1)] = 0"

_LEAVE_ONE_OUT = """
def leave_one_out(x, h):
    n, d = x.shape
    squares = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    kernel = torch.exp(-squares / (2 * h**2)) / ({volume})
    {leave_out}
    return torch.log(kernel.sum(1) / {count})
"""
_VOLUME = "h**d * (2 * math.pi) ** (d / 2)"

_LOG_LEAVE_ONE_OUT = """
def leave_one_out(x, h):
    n, d = x.shape
    exponent = -((x[:, None] - x) ** 2).sum(-1) / (2 * h**2)
    {leave_out}
    return torch.logsumexp(exponent, 1) - math.log({count}) - {volume}
"""
_DIAGONAL = "exponent = exponent.masked_fill(torch.eye(n, dtype=torch.bool), -math.inf)"
_LOG_VOLUME = "d * math.log(h) - d / 2 * math.log(2 * math.pi)"

_NEIGHBOURS = """
def neighbour_log_density(train, x, k):
    n, d = train.shape
    distances = torch.cdist(x, train).sort(dim=1).values
    radius = distances[:, {place}]
    log_unit_ball = {ball}
    return math.log(k / n) - log_unit_ball - d * radius.log()
"""
_BALL = "d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)"

_EXPECTED = """
def expected_estimate(x, h, w, m, s):
    total = 0
    for weight, mean, deviation in zip(w, m, s):
        wide = {wide}
        shape = torch.exp(-0.5 * ((x - mean) / wide) ** 2)
        total = total + {weight} * shape / (wide * math.sqrt(2 * math.pi))
    return total
"""
_WIDE = "torch.sqrt(deviation**2 + h**2)"

_SAMPLE = """
def parzen_sample(train, h, n, generator):
    chosen = {chosen}
    return train[chosen] + {noise}
"""
_CHOSEN = "torch.randint(len(train), (n,), generator=generator)"
_NOISE = "h * torch.randn(n, train.shape[1], generator=generator)"

WRONG = {
    "histogram": {
        "a share is not a density": _HISTOGRAM.format(outside=_OUTSIDE, divisor="n"),
        "the volume of one side only": _HISTOGRAM.format(outside=_OUTSIDE, divisor="(n * width)"),
        "outside counts as the nearest cell": _HISTOGRAM.format(
            outside="pass", divisor="(n * width**d)"
        ),
        "the upper edge has a cell of its own": """
def histogram_log_prob(train, x, bins, low, high):
    n, d = train.shape
    place = torch.floor((train - low) / (high - low) * bins)
    asked = torch.floor((x - low) / (high - low) * bins)
    count = (asked[:, None] == place).all(-1).sum(1).double()
    count[((asked < 0) | (asked >= bins)).any(1)] = 0
    return (count / (n * ((high - low) / bins) ** d)).log()
""",
    },
    "leave_one_out": {
        "each row still sees itself": _LEAVE_ONE_OUT.format(
            volume=_VOLUME, leave_out="pass", count="n"
        ),
        "divides by N": _LOG_LEAVE_ONE_OUT.format(
            leave_out=_DIAGONAL, count="n", volume=_LOG_VOLUME
        ),
        "the volume is h, not h to the d": _LOG_LEAVE_ONE_OUT.format(
            leave_out=_DIAGONAL, count="n - 1", volume="math.log(h) - d / 2 * math.log(2 * math.pi)"
        ),
        "the logarithm of an underflowed sum": _LEAVE_ONE_OUT.format(
            volume=_VOLUME, leave_out="kernel.fill_diagonal_(0)", count="(n - 1)"
        ),
        "everything at distance zero is left out": _LOG_LEAVE_ONE_OUT.format(
            leave_out="exponent = exponent.masked_fill(exponent == 0, -1e4)",
            count="n - 1",
            volume=_LOG_VOLUME,
        ),
    },
    "neighbours": {
        "as it was given": _NEIGHBOURS.format(place="k", ball="math.log(2.0)"),
        "only the neighbour is mended": _NEIGHBOURS.format(place="k - 1", ball="math.log(2.0)"),
        "only the ball is mended": _NEIGHBOURS.format(place="k if k < n else k - 1", ball=_BALL),
        "a cube instead of a ball": _NEIGHBOURS.format(place="k - 1", ball="d * math.log(2.0)"),
        "a disc in every dimension": _NEIGHBOURS.format(
            place="k - 1", ball="math.log(2.0) if d == 1 else math.log(math.pi)"
        ),
    },
    "expected": {
        "the estimate is unbiased": _EXPECTED.format(wide="deviation", weight="weight"),
        "standard deviations add": _EXPECTED.format(wide="deviation + h", weight="weight"),
        "the kernel alone": _EXPECTED.format(
            wide="torch.as_tensor(h * math.sqrt(2))", weight="weight"
        ),
        "the weights are forgotten": _EXPECTED.format(wide=_WIDE, weight="1.0"),
    },
    "sampling": {
        "a training row is a draw": _SAMPLE.format(
            chosen=_CHOSEN, noise="torch.zeros(n, train.shape[1])"
        ),
        "h is a variance": _SAMPLE.format(chosen=_CHOSEN, noise=_NOISE.replace("h *", "h**0.5 *")),
        "one noise for all coordinates": _SAMPLE.format(
            chosen=_CHOSEN, noise="h * torch.randn(n, 1, generator=generator)"
        ),
        "the generator is ignored": _SAMPLE.format(
            chosen=_CHOSEN, noise="h * torch.randn(n, train.shape[1])"
        ),
        "uniform noise of the same spread": _SAMPLE.format(
            chosen=_CHOSEN,
            noise="h * 12**0.5 * (torch.rand(n, train.shape[1], generator=generator) - 0.5)",
        ),
        "rows take turns": _SAMPLE.format(chosen="torch.arange(n) % len(train)", noise=_NOISE),
        "noise with heavier tails": """
def parzen_sample(train, h, n, generator):
    chosen = torch.randint(len(train), (n,), generator=generator)
    u = torch.rand(n, train.shape[1], generator=generator) - 0.5
    return train[chosen] - h / math.sqrt(2) * u.sign() * torch.log1p(-2 * u.abs())
""",
        "the function has a seed of its own": _SAMPLE.format(
            chosen=_CHOSEN.replace("=generator", "=torch.manual_seed(0)"),
            noise=_NOISE.replace("=generator", "=torch.manual_seed(1)"),
        ),
        "every draw has a mirror image": """
def parzen_sample(train, h, n, generator):
    half = (n + 1) // 2
    chosen = torch.randint(len(train), (half,), generator=generator)
    noise = h * torch.randn(half, train.shape[1], generator=generator)
    return torch.cat([train[chosen] + noise, train[chosen] - noise])[:n]
""",
        "rows are sorted": _SAMPLE.format(chosen=_CHOSEN + ".sort().values", noise=_NOISE),
        "only the first rows": _SAMPLE.format(chosen="torch.arange(n) % 2", noise=_NOISE),
    },
}

RIGHT = {
    "histogram": {
        "a comparison of cells instead of counts": _HISTOGRAM.format(
            outside=_OUTSIDE, divisor="(n * width**d)"
        )
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
    "expected": {"a loop over the pieces": _EXPECTED.format(wide=_WIDE, weight="weight")},
    "sampling": {
        "multinomial and normal": """
def parzen_sample(train, h, n, generator):
    even = torch.ones(len(train))
    chosen = torch.multinomial(even, n, replacement=True, generator=generator)
    return torch.normal(train[chosen], h, generator=generator)
""",
    },
}
