"""Answers to the exercises of lesson 04 that graders must tell apart.

``WRONG`` holds what students really write, each under the misconception behind it, and ``RIGHT``
what is right though written otherwise than in the notebook. Each replaces the whole solution cell
of its exercise.
"""

_EXCESS = """
def excess_bits(counts, q):
    p = counts.double() / counts.sum()
    q = q.double()
    return {answer}
"""
_OCCURS = "(p * (p / q).log2())[p > 0]"

_ENCODE = """
def encode(message, table):
    low, width, code = 0, FULL, bytearray()
    for symbol in message:
        step = width // table[-1]
        low = low + step * table[symbol]
        width = step * (table[symbol + 1] - table[symbol])
        {carry}
        low %= FULL
        while width < LEAST:
            code.append(low // LEAST)
            low, width = low * 256 % FULL, width * 256
    {end}
    return bytes(code)
"""
_CARRY = """
        if low >= FULL:
            while code[-1] == 255:
                code.pop()
                dropped += 1
            code[-1] += 1
            code.extend(bytes(dropped))
            dropped = 0
"""
_END = """
    last = low + LEAST - 1
    place = len(code) - 1
    while last >= FULL and code[place] == 255:
        code[place], place = 0, place - 1
    if last >= FULL:
        code[place] += 1
    code.append(last % FULL // LEAST)
"""
_START = "low, width, code = 0, FULL, bytearray()"

_SCORE = """
def score(log_density, k, levels, generator):
    u = {noise}
    nats = log_density({place}).mean()
    return {bits}
"""
_NOISE = "torch.rand(k.shape, generator=generator)"
_PLACE = "(k + u) / levels"
_BITS = "math.log2(levels) - nats / k.shape[1] / math.log(2)"

_DIRECTIONS = """
def forward_gaussian(w, m, s):
    mean = (w * m).sum()
    return mean, {deviation}


def reverse_kl(mu, sigma, w, m, s):
    {grid}
    q = torch.distributions.Normal(mu, sigma)
    pieces = torch.distributions.Normal(m.double(), s.double())
    log_q = q.log_prob(x)
    log_p = torch.logsumexp(pieces.log_prob(x[:, None]) + {weights}, 1)
    return {answer}
"""
_DEVIATION = "((w * (s**2 + m**2)).sum() - mean**2).sqrt()"
_GRID = "x = torch.linspace(mu - 9 * sigma, mu + 9 * sigma, 3001, dtype=torch.float64)"
_REVERSE = "torch.trapezoid(log_q.exp() * (log_q - log_p), x)"

_COMPARE = """
def compare(a, b):
    n, mean = len(a), {mean}
    variance = {variance}
    error = {error}
    return torch.stack([mean, error, {needed}])
"""
_PARTS = {
    "mean": "(a - b).mean()",
    "variance": "(a - b).var()",
    "error": "(variance / n).sqrt()",
    "needed": "4 * variance / mean**2",
}


def _encode(carry=_CARRY, end=_END):
    code = _ENCODE.format(carry=carry.strip(), end=end.strip())
    return code.replace(_START, _START + "\n    dropped = 0")


def _score(noise=_NOISE, place=_PLACE, bits=_BITS):
    return _SCORE.format(noise=noise, place=place, bits=bits)


def _directions(deviation=_DEVIATION, grid=_GRID, weights="w.double().log()", answer=_REVERSE):
    return _DIRECTIONS.format(deviation=deviation, grid=grid, weights=weights, answer=answer)


def _compare(**changed):
    return _COMPARE.format(**_PARTS | changed)


WRONG = {
    "excess": {
        "zero times minus infinity": _EXCESS.format(answer="(p * (p / q).log2()).sum()"),
        "nats for bits": _EXCESS.format(answer="(p * (p / q).log())[p > 0].sum()"),
        "the code's length, not its excess": _EXCESS.format(answer="-(p * q.log2())[p > 0].sum()"),
        "the other direction": _EXCESS.format(
            answer="(q * (q / p).log2())[(q > 0) & (p > 0)].sum()"
        ),
        "the whole message": _EXCESS.format(answer=f"counts.sum() * {_OCCURS}.sum()"),
        "impossible symbols are passed over": _EXCESS.format(
            answer="(p * (p / q).log2())[(p > 0) & (q > 0)].sum()"
        ),
        "small probabilities are lifted": _EXCESS.format(
            answer="(p * (p / q.clamp_min(1e-9)).log2())[p > 0].sum()"
        ),
        "the model is smoothed first": _EXCESS.format(
            answer="(p * (p / ((q + 1e-3) / (1 + len(q) * 1e-3))).log2())[p > 0].sum()"
        ),
        "the mean over symbols": _EXCESS.format(answer=f"{_OCCURS}.mean()"),
    },
    "encode": {
        "as it was given": _encode(carry="pass", end="code.append(low // LEAST)"),
        "only the end is mended": _encode(carry="pass"),
        "only the carry is mended": _encode(end="code.append(low // LEAST)"),
        "the carry stops at the last byte": _encode(
            carry="if low >= FULL: code[-1] = (code[-1] + 1) % 256"
        ),
        "the carry skips bytes of 255 and leaves them": _encode(
            carry="""
        if low >= FULL:
            place = len(code) - 1
            while code[place] == 255:
                place -= 1
            code[place] += 1
"""
        ),
        "no carry at the end": _encode(end="code.append(min(low + LEAST - 1, FULL - 1) // LEAST)"),
        "all six bytes at the end": _encode(end="code.extend((low + width - 1).to_bytes(7)[1:])"),
        "one more byte to be sure": _encode(end="code.extend((low // (LEAST >> 8)).to_bytes(2))"),
        "the width is cut short so as not to run over": _encode(
            carry="width = min(width, FULL - low % FULL)"
        ),
    },
    "score": {
        "cells of no width": _score(bits="-nats / k.shape[1] / math.log(2)"),
        "the cost of a row": _score(bits="k.shape[1] * math.log2(levels) - nats / math.log(2)"),
        "nats for bits": _score(bits="math.log(levels) - nats / k.shape[1]"),
        "one level too few": _score(place="(k + u) / (levels - 1)"),
        "always 256 levels": _score(place="(k + u) / 256", bits=_BITS.replace("levels", "256")),
        "no noise": _score(noise="0.0"),
        "the middle of the cell": _score(noise="0.5"),
        "noise around the level": _score(noise=_NOISE + " - 0.5"),
        "one noise a row": _score(noise="torch.rand(len(k), 1, generator=generator)"),
        "normal noise": _score(noise="0.3 * torch.randn(k.shape, generator=generator)"),
        "the generator is ignored": _score(noise="torch.rand(k.shape)"),
        "the width of a cell counts once": _score(
            bits="(math.log2(levels) - nats / math.log(2)) / k.shape[1]"
        ),
    },
    "directions": {
        "the spread of the means is forgotten": _directions(deviation="(w * s**2).sum().sqrt()"),
        "standard deviations are averaged": _directions(
            deviation="(w * s).sum() + (w * (m - mean) ** 2).sum().sqrt()"
        ),
        "the variance": _directions(deviation=_DEVIATION.replace(".sqrt()", "")),
        "the pieces count alike": _directions(
            deviation="(s**2 + (m - m.mean()) ** 2).mean().sqrt()"
        ),
        "forward for reverse": _directions(
            answer="torch.trapezoid(log_p.exp() * (log_p - log_q), x)"
        ),
        "weights outside the logarithm": _directions(weights="w.double()"),
        "the grid stays at home": _directions(
            grid="x = torch.linspace(-10, 10, 4001, dtype=torch.float64)"
        ),
        "the grid is too short": _directions(grid=_GRID.replace("9 *", "2 *")),
        "p underflows": _directions(
            answer="torch.trapezoid(log_q.exp() * (log_q - (log_p.exp() + 1e-30).log()), x)"
        ),
        "cross-entropy without the entropy": _directions(
            answer="torch.trapezoid(-log_q.exp() * log_p, x)"
        ),
    },
    "compare": {
        "as if on separate examples": _compare(variance="a.var() + b.var()"),
        "the spread of one example": _compare(error="variance.sqrt()"),
        "N for its square root": _compare(error="variance.sqrt() / n"),
        "b minus a": _compare(mean="(b - a).mean()"),
        "one standard error is enough": _compare(needed="variance / mean**2"),
        "the error at hand, not that of one example": _compare(needed="4 * error**2 / mean**2"),
        "linear in the error": _compare(needed="n * 2 * error / mean.abs()"),
        "the sum of the gains": _compare(mean="(a - b).sum()"),
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
    p = counts / counts.sum()
    ours = torch.where(p > 0, -p.double().log2(), 0.0)
    theirs = torch.where(p > 0, -q.double().log2(), 0.0)
    used = p > 0
    return (p.double()[used] * (theirs - ours)[used]).sum()
""",
    },
    "encode": {
        "bytes are dropped and put back": _encode(),
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
        "second moments, and torch's distributions": _directions(),
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
        "from covariances": _compare(
            variance="a.var() + b.var() - 2 * torch.cov(torch.stack([a, b]))[0, 1]"
        ),
        "with NumPy": """
def compare(a, b):
    gain = (a - b).double().numpy()
    error = gain.std(ddof=1) / len(gain) ** 0.5
    return torch.tensor([gain.mean(), error, len(gain) * (2 * error / gain.mean()) ** 2])
""",
    },
}
