"""Answers to the exercises of lesson 04, written as tools/coursework/answers.py says."""

_DIVERGENCE = "torch.xlogy(p, p) - torch.xlogy(p, q)"
_NO_CARRY = ("carried(low + step * start, code)", "(low + step * start) % FULL")
_WIDTH = "step * (end - start)\n"
_CARRY = """place = len(code) - 1
        while code[place] == 255:
            code[place] = 0
            place -= 1
        code[place] += 1"""
_LAST = "carried(low + LEAST - 1, code)"
_END = "code.append(last)"
_RESIDUAL = "y - (x @ theta).exp()"
_ROWS = "rows = torch.randint(len(x), (batch,), generator=generator)"
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
    "rates": {
        "down instead of up": (_RESIDUAL, "(x @ theta).exp() - y"),
        "the sum over rows": (" / len(y)", ""),
        "the data's average alone": (_RESIDUAL, "y"),
        "the rate is the exponent": (_RESIDUAL, "y - x @ theta - 1"),
        "the derivative by the mean, not by θ": (_RESIDUAL, "y / (x @ theta).exp() - 1"),
        "steps that do not shrink": (" / (1 + t / 100)", ""),
        "all rows in every step": (_ROWS, "rows = torch.arange(len(x))"),
        "the same rows in every step": (
            _ROWS,
            "rows = torch.randint(len(x), (batch,), generator=generator.manual_seed(3))",
        ),
        "the generator is ignored": (", generator=generator", ""),
        "long gradients are cut": (
            "slope = gradient(theta, x[rows], y[rows])",
            "slope = gradient(theta, x[rows], y[rows])\n"
            "        slope = slope / slope.norm().clamp_min(5)",
        ),
        "t counts from one": ("(1 + t / 100)", "(1 + (t + 1) / 100)"),
        "the gradient of all rows": ("gradient(theta, x[rows], y[rows])", "gradient(theta, x, y)"),
    },
    "encode": {
        "as it was given": "push, finish = faulty_push, faulty_finish",
        "only the end is mended": _NO_CARRY,
        "only the carry is mended": (_LAST, "low"),
        "the carry stops at the last byte": (_CARRY, "code[-1] = (code[-1] + 1) % 256"),
        "the carry skips bytes of 255 and leaves them": ("code[place] = 0", "pass"),
        "a carry that calls itself": (
            _CARRY,
            """def one(place):
            if code[place] == 255:
                code[place] = 0
                one(place - 1)
            else:
                code[place] += 1

        one(len(code) - 1)""",
        ),
        "a carry through 700 bytes at most": (
            "while code[place] == 255:",
            "while code[place] == 255 and len(code) - place < 700:",
        ),
        "no carry at the end": (_LAST, "min(low + LEAST - 1, FULL - 1)"),
        "all six bytes at the end": (_END, "code.extend((low + width - 1).to_bytes(7)[1:])"),
        "one more byte to be sure": (_END, "code.extend((low // (LEAST >> 8)).to_bytes(2))"),
        "the width is cut short so as not to run over": [
            _NO_CARRY,
            (_WIDTH, "min(step * (end - start), FULL - (low + step * start) % FULL)\n"),
        ],
        "one growing number, as in the lesson": """
def push(low, width, code, start, end, total):
    step = width // total
    low, width = low + step * start, step * (end - start)
    while width < LEAST:
        low, width = low << 8, width << 8
        code.append(0)
    return low, width


def finish(low, width, code):
    n = len(code) + 1
    code[:] = (-(-low // LEAST)).to_bytes(n)
""",
    },
    "score": {
        "cells of no width": ("math.log(levels) - nats", "-nats"),
        "the cost of a row": (" / math.log(2)", " / math.log(2) * k.shape[1]"),
        "nats for bits": (" / math.log(2)", ""),
        "one level too few": ("/ levels", "/ (levels - 1)"),
        "always 256 levels": [("/ levels", "/ 256"), ("math.log(levels)", "math.log(256)")],
        "as many levels as occur": [
            ("/ levels", "/ (k.max() + 1)"),
            ("math.log(levels)", "(k.max() + 1).log()"),
        ],
        "ten midpoints": (_NOISE, "(torch.randint(10, k.shape, generator=generator) + 0.5) / 10"),
        "two values with the moments of even noise": (
            _NOISE,
            "0.5 + (torch.randint(2, k.shape, generator=generator) - 0.5) / 3**0.5",
        ),
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
        "the gain in the place of a": ("a - b", "a.sub_(b)"),
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
        "a dot product in single precision": """
def excess_bits(counts, q):
    seen = counts > 0
    p = (counts / counts.sum())[seen]
    return torch.dot(p, torch.log2(p / q[seen]))
""",
    },
    "rates": {
        "by autograd": """
def gradient(theta, x, y):
    theta = torch.as_tensor(theta).clone().requires_grad_()
    law = torch.distributions.Poisson((x @ theta).exp())
    law.log_prob(y).mean().backward()
    return theta.grad


def fit(x, y, batch, steps, rate, generator):
    theta = torch.zeros(x.shape[1], dtype=x.dtype)
    for t in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        theta += gradient(theta, x[rows], y[rows]) * rate / (1 + t / 100)
    return theta
""",
        "row by row, as a list": (
            "return x.T @ residual / len(y)",
            "return torch.stack([r * row for r, row in zip(residual, x)]).mean(0)",
        ),
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
        "the bytes as one number, at a carry": (
            _CARRY,
            "code[:] = (int.from_bytes(code) + 1).to_bytes(len(code))",
        ),
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
