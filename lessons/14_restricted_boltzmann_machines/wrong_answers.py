"""Answers to the exercises of lesson 14, written as tools/coursework/answers.py says."""

_LOG_TWO_COSH = "size + torch.log1p(torch.exp(-2 * size))"
_RATIO = "log_w.max() + w.mean().log()"
_TURN = "(ratio if betas[-1] > betas[0] else -ratio)"
_TOP = "(log_w - log_w.max()).exp()"
_DRAW_V = "        v = draw((h @ W.T + b).sigmoid())\n"

WRONG = {
    "spins": {
        "hidden units of 0 and 1": [
            (_LOG_TWO_COSH, "softplus(a)"),
            ("torch.tanh(a)", "torch.sigmoid(a)"),
        ],
        "the means of units of 0 and 1": ("torch.tanh(a)", "torch.sigmoid(a)"),
        "the probability for the mean": ("torch.tanh(a)", "torch.sigmoid(2 * a)"),
        "the logistic function of a": ("torch.tanh(a)", "2 * torch.sigmoid(a) - 1"),
        "log 2 forgotten": (_LOG_TWO_COSH, f"{_LOG_TWO_COSH} - math.log(2)"),
        "overflows": (_LOG_TWO_COSH, "(2 * torch.cosh(a)).log()"),
        "softplus of 2a without the shift by a": (_LOG_TWO_COSH, "softplus(2 * a)"),
        "the other sign": ("F = -(x @ b) - log", "F = (x @ b) + log"),
        "the visible bias forgotten": ("F = -(x @ b) - log", "F = -log"),
        "the hidden bias forgotten": ("x @ W + c", "x @ W"),
        "a mean over hidden units": ("log_two_cosh.sum(1)", "log_two_cosh.mean(1)"),
        "log 2 cosh replaced by the field above 5": (
            _LOG_TWO_COSH,
            "torch.where(size > 5, size, (2 * torch.cosh(a.clamp(-5, 5))).log())",
        ),
        "large fields cut off": ("a = x @ W + c", "a = (x @ W + c).clamp(-50, 50)"),
        "sums for logarithms of large fields": (_LOG_TWO_COSH, "size"),
    },
    "annealed": {
        "as it was given": "annealed = faulty_annealed",
        "the mean of the logarithms": (_RATIO, "log_w.mean()"),
        "the weights of the way back": (
            "F(x[t], betas[t]) - F(x[t], betas[t + 1])",
            "F(x[t], betas[t + 1]) - F(x[t], betas[t])",
        ),
        "hidden biases at their full size": ("beta * (rows @ W + c)", "beta * (rows @ W) + c"),
        "the base without its hidden units": (" + len(c) * math.log(2)", ""),
        "log 2 once": ("len(c) * math.log(2)", "math.log(2)"),
        "visible units counted for hidden ones": ("len(c) * math", "len(b) * math"),
        "visible biases of the machine throughout": ("(1 - beta) * base + beta * b", "b"),
        "visible biases added, not mixed": ("(1 - beta) * base + beta * b", "base + beta * b"),
        "log Z of the base forgotten": ("log_z0 + (", "("),
        "the sum of the weights": ("w.mean().log()", "w.sum().log()"),
        "weights under- and overflow": (
            "w = (log_w - log_w.max()).exp()",
            "w = log_w.exp()",
        ),
        "the shift not put back": (_RATIO, "w.mean().log()"),
        "the spread over all chains": ("w.std() /", "w.std(correction=0) /"),
        "the spread of one weight": (" * len(w) ** 0.5)", ")"),
        "the error of log w": (
            "w.std() / (w.mean() * len(w) ** 0.5)",
            "log_w.std() / len(w) ** 0.5",
        ),
        "the error of the mean weight": ("(w.mean() * len(w) ** 0.5)", "len(w) ** 0.5"),
        "one over the sample size": ("w.sum() ** 2 / (w**2).sum()", "(w**2).sum() / w.sum() ** 2"),
        "the sum over the sum of squares": ("w.sum() ** 2 / (w**2)", "w.sum() / (w**2)"),
        "only the last temperature": ("log_w = log_w + F", "log_w = F"),
        "the way back as the way up": (_TURN, "ratio"),
        "log Z of the base taken off on the way back": (
            f"log_z0 + {_TURN}",
            "(log_z0 + ratio if betas[-1] > betas[0] else -log_z0 - ratio)",
        ),
        "weights shifted by their mean": [
            (_TOP, "(log_w - log_w.mean()).exp()"),
            (_RATIO, "log_w.mean() + w.mean().log()"),
        ],
        "weights shifted by the smallest": [
            (_TOP, "(log_w - log_w.min()).exp()"),
            (_RATIO, "log_w.min() + w.mean().log()"),
        ],
        "small weights cut off": (_TOP, "(log_w - log_w.max()).clamp(min=-3).exp()"),
        "softplus that overflows": (
            "softplus(beta * (rows @ W + c))",
            "(1 + (beta * (rows @ W + c)).exp()).log()",
        ),
    },
    "phase": {
        "the sign of the gradient": ("-(v.T @", "(v.T @"),
        "starts from noise": ("v = x\n", "v = draw(torch.full_like(x, 0.5))\n"),
        "a sum, not a mean": (" / len(v)", ""),
        "divided by the number of hidden units": ("/ len(v)", "/ W.shape[1]"),
        "hidden units always given the start": ("draw((v @ W", "draw((x @ W"),
        "hidden probabilities of the start": ("-(v.T @ (v @", "-(v.T @ (x @"),
        "the statistic of the start": ("-(v.T @ (v @", "-(x.T @ (x @"),
        "one step too many": ("range(k)", "range(k + 1)"),
        "one step too few": ("range(k)", "range(k - 1)"),
        "one step whatever k is": ("range(k)", "range(min(k, 1))"),
        "probabilities for hidden samples": (
            "h = draw((v @ W + c).sigmoid())",
            "h = (v @ W + c).sigmoid()",
        ),
        "probabilities for visible samples": (_DRAW_V, "        v = (h @ W.T + b).sigmoid()\n"),
        "thresholds, not samples": ("torch.rand(p.shape, generator=generator) < p", "p > 0.5"),
        "the source of everybody": (
            "torch.rand(p.shape, generator=generator)",
            "torch.rand(p.shape)",
        ),
        "visible biases forgotten": ("h @ W.T + b", "h @ W.T"),
        "one seed for all": ("generator=generator", "generator=draws(0)"),
        "hidden samples in the statistic": (
            "-(v.T @ (v @ W + c).sigmoid())",
            "-(v.T @ (draw((v @ W + c).sigmoid()) if k else (v @ W + c).sigmoid()))",
        ),
        "the global source, seeded as the generator was": [
            ("v = x\n", "v = x\n    torch.manual_seed(generator.initial_seed())\n"),
            ("torch.rand(p.shape, generator=generator)", "torch.rand(p.shape)"),
        ],
        "the generator set back to its seed": (
            "v = x\n",
            "v = x\n    generator.manual_seed(generator.initial_seed())\n",
        ),
        "a copy of the generator": [
            (
                "v = x\n",
                "v = x\n    g = torch.Generator()\n    g.set_state(generator.get_state())\n",
            ),
            ("generator=generator) < p", "generator=g) < p"),
        ],
        "NumPy from the generator's seed": """
def negative_phase(x, W, b, c, k, generator):
    import numpy as np

    rng = np.random.default_rng(generator.initial_seed())
    v, W, b, c = (each.numpy() for each in (x, W, b, c))
    for _ in range(k):
        h = rng.random((len(v), len(c))) < 1 / (1 + np.exp(-(v @ W + c)))
        v = (rng.random(v.shape) < 1 / (1 + np.exp(-(h @ W.T + b)))) * 1.0
    return -(v.T @ (1 / (1 + np.exp(-(v @ W + c))))) / len(v)
""",
    },
}

RIGHT = {
    "spins": {
        "with the lesson's own import": """
from torch.nn import functional as F


def spin_machine(x, W, b, c):
    a = x @ W + c
    return -(x @ b) - (F.softplus(2 * a) - a).sum(1), torch.tanh(a)
""",
        "logaddexp": [(_LOG_TWO_COSH, "torch.logaddexp(a, -a)")],
        "NumPy, weights changed in place": """
def spin_machine(x, W, b, c):
    import numpy as np

    x, W, b, c = (each.numpy() for each in (x, W, b, c))
    W *= 2
    a = x @ W + 2 * c
    return -x @ b - (np.logaddexp(0, a) - a / 2).sum(1), np.tanh(a / 2)
""",
        "all hidden states, a row at a time": """
def spin_machine(x, W, b, c):
    import itertools

    energies, means = [], []
    for row in x:
        logs, states = [], []
        for h in itertools.product((-1.0, 1.0), repeat=len(c)):
            h = torch.tensor(h, dtype=torch.float64)
            logs.append(row @ b + c @ h + row @ W @ h)
            states.append(h)
        logs = torch.stack(logs)
        energies.append(float(-logs.logsumexp(0)))
        means.append((logs.softmax(0) @ torch.stack(states)).tolist())
    return energies, means
""",
    },
    "annealed": {
        "NumPy": """
def annealed(x, betas, W, b, c, base):
    import numpy as np
    from scipy.special import logsumexp

    x, betas, W, b, c, base = (each.numpy() for each in (x, betas, W, b, c, base))
    log_w = np.zeros(x.shape[1])
    for t in range(len(x)):
        for sign, beta in ((1, betas[t + 1]), (-1, betas[t])):
            own = x[t] @ ((1 - beta) * base + beta * b)
            log_w += sign * (own + np.logaddexp(0, beta * (x[t] @ W + c)).sum(1))
    M = len(log_w)
    log_mean = logsumexp(log_w) - np.log(M)
    w = np.exp(log_w - log_mean)
    log_z0 = np.logaddexp(0, base).sum() + len(c) * np.log(2)
    sign = np.sign(betas[-1] - betas[0])
    return log_z0 + sign * log_mean, w.std(ddof=1) / np.sqrt(M), M**2 / (w**2).sum()
""",
        "a chain at a time, kept in single precision": """
def annealed(x, betas, W, b, c, base):
    def F(v, beta):
        own = v @ ((1 - beta) * base + beta * b)
        return -own - softplus(beta * (v @ W + c)).sum()

    log_w = []
    for m in range(x.shape[1]):
        steps = range(len(x))
        each = [F(x[t, m], betas[t]) - F(x[t, m], betas[t + 1]) for t in steps]
        log_w.append(sum(each).item())
    log_w = torch.tensor(log_w)  # float32, as by default
    M = len(log_w)
    w = log_w.softmax(0)
    ratio = log_w.logsumexp(0) - math.log(M)
    log_z0 = softplus(base).sum() + len(c) * math.log(2)
    turned = log_z0 - ratio if betas[0] > betas[-1] else log_z0 + ratio
    return turned, w.std() / w.mean() / M**0.5, 1 / (w**2).sum()
""",
        "weights that add up to one": """
def annealed(x, betas, W, b, c, base):
    def minus_F(t, beta):
        field = beta * (x[t] @ W + c)
        bias = base + beta * (b - base)
        return x[t] @ bias + torch.logaddexp(field, torch.zeros_like(field)).sum(1)

    log_w = sum(minus_F(t, betas[t + 1]) - minus_F(t, betas[t]) for t in range(len(x)))
    share = log_w.softmax(0)
    size = 1 / share.square().sum()
    M = len(share)
    ratio = log_w.logsumexp(0) - math.log(M)
    if betas[0] > betas[-1]:
        ratio = -ratio
    log_z = ratio + softplus(base).sum() + len(c) * math.log(2)
    return [float(log_z), float(((M / size - 1) / (M - 1)).sqrt()), float(size)]
""",
    },
    "phase": {
        "a row and a unit at a time": """
def negative_phase(x, W, b, c, k, generator):
    x, W, b, c = x.tolist(), W.tolist(), b.tolist(), c.tolist()
    D, H = len(b), len(c)

    def logistic(t):
        return 1 / (1 + math.exp(-t))

    def hidden(v):
        return [logistic(c[j] + sum(v[i] * W[i][j] for i in range(D))) for j in range(H)]

    total = [[0.0] * H for _ in range(D)]
    for v in x:
        for _ in range(k):
            u = torch.rand(H + D, generator=generator).tolist()
            h = [u[j] < p for j, p in enumerate(hidden(v))]
            on = [logistic(b[i] + sum(h[j] * W[i][j] for j in range(H))) for i in range(D)]
            v = [float(u[H + i] < p) for i, p in enumerate(on)]
        for j, p in enumerate(hidden(v)):
            for i in range(D):
                total[i][j] -= v[i] * p / len(x)
    return total
""",
        "torch.bernoulli and einsum": """
def negative_phase(x, W, b, c, k, generator):
    v = x
    while k > 0:
        h = torch.bernoulli(torch.sigmoid(v @ W + c), generator=generator)
        v = torch.bernoulli(torch.sigmoid(h @ W.T + b), generator=generator)
        k -= 1
    return -torch.einsum("ni,nj->ij", v, torch.sigmoid(v @ W + c)) / v.shape[0]
""",
        "NumPy, seeded by the generator; x changed in place": """
def negative_phase(x, W, b, c, k, generator):
    import numpy as np

    seed = torch.randint(2**60, (), generator=generator).item()
    rng = np.random.default_rng(seed)
    v, W, b, c = (each.numpy() for each in (x, W, b, c))
    logistic = lambda t: 1 / (1 + np.exp(-t))
    for _ in range(k):
        h = rng.random((len(v), len(c))) < logistic(v @ W + c)
        v[:] = rng.random(v.shape) < logistic(h @ W.T + b)
    return (-(v.T @ logistic(v @ W + c)) / len(v)).tolist()
""",
        "derivative of F by autograd": """
def negative_phase(x, W, b, c, k, generator):
    W = W.requires_grad_()
    v = x
    for _ in range(k):
        for weight, bias in ((W, c), (W.T, b)):
            p = torch.sigmoid(v @ weight + bias).detach()
            v = (torch.rand(p.shape, generator=generator, dtype=p.dtype) < p).to(p)
    F = -(v @ b) - softplus(v @ W + c).sum(1)
    F.mean().backward()
    return W.grad
""",
    },
}
