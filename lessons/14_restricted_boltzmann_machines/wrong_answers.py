"""Answers to the exercises of lesson 14, written as tools/coursework/answers.py says."""

_LOG_TWO_COSH = "size + torch.log1p(torch.exp(-2 * size))"
_LOG_Z = "log_z0 + log_w.max() + w.mean().log()"
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
        "large fields cut off": ("a = x @ W + c", "a = (x @ W + c).clamp(-50, 50)"),
        "sums for logarithms of large fields": (_LOG_TWO_COSH, "size"),
    },
    "annealed": {
        "as it was given": "annealed = faulty_annealed",
        "the mean of the logarithms": (_LOG_Z, "log_z0 + log_w.mean()"),
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
        "log Z of the base forgotten": (_LOG_Z, "log_w.max() + w.mean().log()"),
        "the sum of the weights": ("w.mean().log()", "w.sum().log()"),
        "weights under- and overflow": (
            "w = (log_w - log_w.max()).exp()",
            "w = log_w.exp()",
        ),
        "the shift not put back": (_LOG_Z, "log_z0 + w.mean().log()"),
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
    },
}

RIGHT = {
    "spins": {
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
    return log_z0 + log_mean, w.std(ddof=1) / np.sqrt(M), M**2 / (w**2).sum()
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
    log_z = log_w.logsumexp(0) - math.log(M) + softplus(base).sum() + len(c) * math.log(2)
    return [float(log_z), float(((M / size - 1) / (M - 1)).sqrt()), float(size)]
""",
    },
    "phase": {
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
