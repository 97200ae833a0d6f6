"""Answers to the exercises of lesson 04, written as tools/coursework/answers.py says."""

_DIVERGENCE = "torch.xlogy(p, p) - torch.xlogy(p, q)"
_NO_CARRY = ("carried(low + step * table[symbol])", "(low + step * table[symbol]) % FULL")
_WIDTH = "step * (table[symbol + 1] - table[symbol])"
_CARRY = """place = len(code) - 1
            while code[place] == 255:
                code[place] = 0
                place -= 1
            code[place] += 1"""
_LAST = "carried(low + LEAST - 1)"
_END = f"code.append({_LAST} // LEAST)"
_NOISE = "torch.rand(k.shape, generator=generator)"

WRONG = {
    "excess": {
        "zero times minus infinity": (_DIVERGENCE, "p * (p / q).log()"),
        "nats for bits": (" / math.log(2)", ""),
        "the code's length, not its excess": ("torch.xlogy(p, p) - ", "-"),
        "the other direction": (_DIVERGENCE, "(q * (q / p).log())[(q > 0) & (p > 0)]"),
        "the whole message": ("return ", "return counts.sum() * "),
        "impossible symbols are passed over": (".sum() / math", "[q > 0].sum() / math"),
        "small probabilities are lifted": ("(p, q)", "(p, q.clamp_min(1e-9))"),
        "the model is smoothed first": ("(p, q)", "(p, (q + 1e-3) / (1 + len(q) * 1e-3))"),
        "the mean over symbols": (".sum() / math", "[p > 0].mean() / math"),
    },
    "encode": {
        "as it was given": "encode = faulty_encode",
        "only the end is mended": _NO_CARRY,
        "only the carry is mended": (_LAST, "low"),
        "the carry stops at the last byte": (_CARRY, "code[-1] = (code[-1] + 1) % 256"),
        "the carry skips bytes of 255 and leaves them": ("code[place] = 0", "pass"),
        "no carry at the end": (_LAST, "min(low + LEAST - 1, FULL - 1)"),
        "all six bytes at the end": (_END, "code.extend((low + width - 1).to_bytes(7)[1:])"),
        "one more byte to be sure": (_END, "code.extend((low // (LEAST >> 8)).to_bytes(2))"),
        "the width is cut short so as not to run over": [
            _NO_CARRY,
            (_WIDTH, f"min({_WIDTH}, FULL - low)"),
        ],
    },
    "score": {
        "cells of no width": ("math.log(levels) - nats", "-nats"),
        "the cost of a row": (" / math.log(2)", " / math.log(2) * k.shape[1]"),
        "nats for bits": (" / math.log(2)", ""),
        "one level too few": ("/ levels", "/ (levels - 1)"),
        "always 256 levels": [("/ levels", "/ 256"), ("math.log(levels)", "math.log(256)")],
        "no noise": (_NOISE, "0.0"),
        "the middle of the cell": (_NOISE, "0.5"),
        "noise around the level": (_NOISE, f"{_NOISE} - 0.5"),
        "one noise a row": ("rand(k.shape,", "rand(len(k), 1,"),
        "normal noise": ("torch.rand(", "0.3 * torch.randn("),
        "the generator is ignored": (", generator=generator", ""),
        "the seed of the generator, not the generator": (
            "generator=generator",
            "generator=torch.Generator().manual_seed(generator.initial_seed())",
        ),
        "the width of a cell counts once": ("log(levels)", "log(levels) / k.shape[1]"),
    },
    "directions": {
        "the spread of the means is forgotten": (" + (m - mean) ** 2", ""),
        "standard deviations are averaged": (
            "variance.sqrt()",
            "(w * s).sum() + (w * (m - mean) ** 2).sum().sqrt()",
        ),
        "the variance": ("variance.sqrt()", "variance"),
        "the pieces count alike": (
            "variance.sqrt()",
            "(s**2 + (m - m.mean()) ** 2).mean().sqrt()",
        ),
        "forward for reverse": ("log_q.exp() * (log_q - log_p)", "log_p.exp() * (log_p - log_q)"),
        "weights outside the logarithm": ("w.log()", "w"),
        "the grid stays at home": ("x = mu + sigma * t", "x, t = t, (t - mu) / sigma"),
        "the grid is too short": ("(-10, 10,", "(-2, 2,"),
        "p underflows": ("log_q - log_p)", "log_q - (log_p.exp() + 1e-30).log())"),
        "cross-entropy without the entropy": ("(log_q - log_p)", "-log_p"),
    },
    "compare": {
        "as if on separate examples": ("gain.std()", "(a.var() + b.var()).sqrt()"),
        "the spread of one example": (" / math.sqrt(len(gain))", ""),
        "N for its square root": ("math.sqrt(len(gain))", "len(gain)"),
        "b minus a": ("a - b", "b - a"),
        "one standard error is enough": ("2 * spread", "spread"),
        "the error at hand, not that of one example": (" ** 2", " ** 2 / len(gain)"),
        "linear in the error": (
            "(2 * spread / mean) ** 2",
            "2 * spread * math.sqrt(len(gain)) / mean.abs()",
        ),
        "the sum of the gains": ("gain.mean()", "gain.sum()"),
    },
}

RIGHT = {
    "excess": {
        "a loop over the symbols that occur": """
def excess_bits(counts, q):
    total, bits = int(counts.sum()), 0.0
    for count, probability in zip(counts.tolist(), q.tolist()):
        if count and not probability:
            return math.inf
        if count:
            bits += count * (math.log2(count / total) - math.log2(probability))
    return bits / total
""",
        "where, and a comparison of lengths": """
def excess_bits(counts, q):
    p = (counts / counts.sum()).double()
    ours = torch.where(p > 0, -p.log2(), 0.0)
    theirs = torch.where(p > 0, -q.double().log2(), 0.0)
    return (p * (theirs - ours))[p > 0].sum()
""",
    },
    "encode": {
        "bytes are dropped and put back": (
            _CARRY,
            """dropped = 0
            while code[-1] == 255:
                code.pop()
                dropped += 1
            code[-1] += 1
            code.extend(bytes(dropped))""",
        ),
        "one long number": """
def encode(message, table):
    low, width, written = 0, FULL, 0
    for symbol in message:
        step = width // table[-1]
        low += step * table[symbol]
        width = step * (table[symbol + 1] - table[symbol])
        while width < LEAST:
            low, width, written = low << 8, width << 8, written + 1
    last = -(-low // LEAST)
    return last.to_bytes(written + 1)
""",
    },
    "score": {
        "a loop over rows, in double precision": """
def score(log_density, k, levels, generator):
    noise = torch.rand(k.shape, generator=generator, dtype=torch.float64)
    y = ((k.double() + noise) / levels).to(k.dtype)
    rows = [log_density(row[None]).item() for row in y]
    per_row = k.shape[1] * math.log(levels) - sum(rows) / len(rows)
    return per_row / (k.shape[1] * math.log(2))
""",
    },
    "directions": {
        "second moments, and torch's distributions": [
            ("(w * (s**2 + (m - mean) ** 2)).sum()", "(w * (s**2 + m**2)).sum() - mean**2"),
            (
                "-0.5 * t**2 - math.log(sigma * math.sqrt(2 * math.pi))",
                "torch.distributions.Normal(mu, sigma).log_prob(x)",
            ),
            (
                "log_peaks - 0.5 * ((x[:, None] - m) / s) ** 2",
                "torch.distributions.Normal(m, s).log_prob(x[:, None])",
            ),
        ],
        "an expectation by even slices of probability": """
def forward_gaussian(w, m, s):
    total = w.sum()
    mean = torch.dot(w, m) / total
    return mean, torch.sqrt(torch.dot(w, s.square() + (m - mean).square()) / total)


def reverse_kl(mu, sigma, w, m, s):
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    share = torch.exp(-0.5 * z**2)
    share = share / share.sum()
    pieces = torch.distributions.Normal(m.double(), s.double())
    log_p = torch.logsumexp(pieces.log_prob((mu + sigma * z)[:, None]) + w.double().log(), 1)
    entropy = 0.5 * math.log(2 * math.pi * math.e * sigma**2)
    return -entropy - (share * log_p).sum()
""",
    },
    "compare": {
        "from covariances": (
            "gain.std()",
            "(a.var() + b.var() - 2 * torch.stack([a, b]).cov()[0, 1]).sqrt()",
        ),
        "with NumPy": """
def compare(a, b):
    gain = (a - b).double().numpy()
    error = gain.std(ddof=1) / len(gain) ** 0.5
    return torch.tensor([gain.mean(), error, len(gain) * (2 * error / gain.mean()) ** 2])
""",
    },
}
