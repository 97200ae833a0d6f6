"""Answers to the exercises of lesson 09, written as tools/coursework/answers.py says."""

_LOG_P = "log_w.logsumexp(0) - math.log(len(log_w))"
_SIZE = "1 / (log_w.softmax(0) ** 2).sum(0)"
_KL = "0.5 * (mean**2 + (2 * log_sigma).exp() - 1) - log_sigma"
_FIT = "F.logsigmoid(logits * (2 * x - 1)).sum(-1).mean(0)"
_SPREAD = "    missed = missed + (W.square().sum(0) * s**2).sum()\n"

WRONG = {
    "marginal": {
        "the mean of the logarithms, a bound": (_LOG_P, "log_w.mean(0)"),
        "the sum over the draws": (" - math.log(len(log_w))", ""),
        "the proposal is forgotten": ("log_joint - log_q", "log_joint"),
        "the ratio upside down": ("log_joint - log_q", "log_q - log_joint"),
        "weights underflow": (_LOG_P, "(log_w.exp().mean(0) + 1e-300).log()"),
        "one shift for all observations": (
            _LOG_P,
            "(log_w - log_w.max()).exp().mean(0).log() + log_w.max()",
        ),
        "shifted by the mean": (
            _LOG_P,
            "(log_w - log_w.mean(0)).exp().mean(0).log() + log_w.mean(0)",
        ),
        "the proposal is no logarithm": (
            "    log_w = log_joint - log_q",
            "    top = log_joint.max(0).values\n"
            "    log_w = ((log_joint - top).exp() / log_q.exp()).log() + top",
        ),
        "divided by the number of observations": (
            "math.log(len(log_w))",
            "math.log(log_w.shape[1])",
        ),
        "the largest weight": (_SIZE, "1 / log_w.softmax(0).max(0).values"),
        "the sum is not squared": (
            _SIZE,
            "log_w.exp().sum(0) / (len(log_w) * (log_w.exp() ** 2).sum(0))",
        ),
        "all draws count": (_SIZE, "torch.full((log_w.shape[1],), float(len(log_w)))"),
    },
    "divergence": {
        "the other direction": (
            "    inverse = ",
            "    mean_1, cov_1, mean_2, cov_2 = mean_2, cov_2, mean_1, cov_1\n    inverse = ",
        ),
        "the inverse of the first": ("torch.linalg.inv(cov_2)", "torch.linalg.inv(cov_1)"),
        "the logarithm turned round": (
            "torch.logdet(cov_2) - torch.logdet(cov_1)",
            "torch.logdet(cov_1) - torch.logdet(cov_2)",
        ),
        "k is not taken off": (" - mean_1.shape[1]", ""),
        "the number of pairs for k": ("mean_1.shape[1]", "mean_1.shape[0]"),
        "not halved": ("0.5 * (trace", "1.0 * (trace"),
        "determinants without logarithms": (
            "torch.logdet(cov_2) - torch.logdet(cov_1)",
            "torch.linalg.det(cov_2) / torch.linalg.det(cov_1)",
        ),
        "the logarithm of a quotient of determinants": (
            "torch.logdet(cov_2) - torch.logdet(cov_1)",
            "(torch.linalg.det(cov_2) / torch.linalg.det(cov_1)).log()",
        ),
        "the diagonals alone": (
            "    inverse = ",
            "    cov_1, cov_2 = (torch.diag_embed(c.diagonal(dim1=1, dim2=2)) for c in (cov_1, cov_2))"
            "\n    inverse = ",
        ),
        "the distance without the covariance": ("apart @ inverse @ apart.mT", "apart @ apart.mT"),
    },
    "loss": {
        "as it was given": "loss = faulty_loss",
        "a mean over pixels": (".sum(-1).mean(0)", ".mean(-1).mean(0)"),
        "a sum over draws": (".sum(-1).mean(0)", ".sum(-1).sum(0)"),
        "the first draw alone": (".sum(-1).mean(0)", ".sum(-1)[0]"),
        "the sign of the divergence": ("(kl.sum(1) - fit)", "(-kl.sum(1) - fit)"),
        "log sigma as log variance in the draw": (
            "log_sigma.exp() * noise",
            "(0.5 * log_sigma).exp() * noise",
        ),
        "log sigma as log variance throughout": [
            ("log_sigma.exp() * noise", "(0.5 * log_sigma).exp() * noise"),
            (_KL, "0.5 * (mean**2 + log_sigma.exp() - 1 - log_sigma)"),
        ],
        "a mean over latent variables": ("kl.sum(1)", "kl.mean(1)"),
        "no noise": ("mean + log_sigma.exp() * noise", "mean + 0 * noise"),
        "the gradient stops at the draw": (
            "    logits = decoder(z)",
            "    logits = decoder(z.detach())",
        ),
        "a sum over rows": ("fit).mean()", "fit).sum()"),
        "the ELBO itself": ("(kl.sum(1) - fit)", "(fit - kl.sum(1))"),
        "the logarithm of a rounded probability": (
            _FIT,
            "(torch.where(x == 1, logits.sigmoid(), 1 - logits.sigmoid()) + 1e-12)"
            ".log().sum(-1).mean(0)",
        ),
        "an exponential that overflows in the gradient": (
            _FIT,
            "(x * logits - torch.where(logits > 30, logits, logits.exp().log1p())).sum(-1).mean(0)",
        ),
        "a divergence estimated from the draws": (
            _KL,
            "(0.5 * (z**2 - noise**2) - log_sigma).mean(0)",
        ),
        "a number that nothing flows through": (
            "(kl.sum(1) - fit).mean()",
            "(kl.sum(1) - fit).mean().item()",
        ),
        "squared errors": (_FIT, "-((logits.sigmoid() - x) ** 2).sum(-1).mean(0)"),
    },
    "linear": {
        "the code does not vary": (_SPREAD, ""),
        "deviations for variances": ("W.square().sum(0) * s**2", "W.square().sum(0) * s"),
        "lengths of rows, not of columns": (
            "(W.square().sum(0) * s**2).sum()",
            "W.square().sum() * (s**2).prod()",
        ),
        "the constants left out": (" - x.shape[1] * constant", ""),
        "sigma not squared": ("(2 * sigma**2)", "(2 * sigma)"),
        "the error not halved": ("-missed / (2 * sigma**2)", "-missed / sigma**2"),
        "the encoder's bias left out": ("x @ V.T + c", "x @ V.T"),
        "the decoder's bias left out": ("x - mean @ W.T - b", "x - mean @ W.T"),
        "one constant for all values": ("x.shape[1] * constant", "constant"),
        "the divergence added": ("fit - kl.sum(1)", "fit + kl.sum(1)"),
        "no entropy": (" - s.log()", ""),
    },
}

RIGHT = {
    "marginal": {
        "NumPy, with the largest weight taken out": """
def marginal(log_joint, log_q):
    import numpy as np

    log_w = np.asarray(log_joint) - np.asarray(log_q)
    top = log_w.max(0)
    w = np.exp(log_w - top)
    return top + np.log(w.mean(0)), w.sum(0) ** 2 / (w**2).sum(0)
""",
        "one array of two rows, written over the inputs": """
def marginal(log_joint, log_q):
    import numpy as np

    log_w = log_joint.numpy()
    log_w -= log_q.numpy()
    top = log_w.max(0)
    log_w -= top
    w = np.exp(log_w)
    return np.stack([top + np.log(w.mean(0)), w.sum(0) ** 2 / (w**2).sum(0)])
""",
        "an observation at a time, lists returned": """
def marginal(log_joint, log_q):
    values, sizes = [], []
    for column in (log_joint - log_q).T.tolist():
        top = max(column)
        w = [math.exp(each - top) for each in column]
        values.append(top + math.log(sum(w) / len(w)))
        sizes.append(sum(w) ** 2 / sum(each**2 for each in w))
    return [values, sizes]
""",
    },
    "divergence": {
        "PyTorch's own": """
def gaussian_kl(mean_1, cov_1, mean_2, cov_2):
    first = torch.distributions.MultivariateNormal(mean_1, cov_1)
    second = torch.distributions.MultivariateNormal(mean_2, cov_2)
    return torch.distributions.kl_divergence(first, second)
""",
        "a pair at a time": """
def gaussian_kl(mean_1, cov_1, mean_2, cov_2):
    found = []
    for m, A, u, B in zip(mean_1, cov_1, mean_2, cov_2):
        apart = u - m
        total = torch.trace(torch.linalg.solve(B, A)) - len(m)
        total = total + apart @ torch.linalg.solve(B, apart)
        total = total + torch.linalg.slogdet(B)[1] - torch.linalg.slogdet(A)[1]
        found.append(float(total) / 2)
    return found
""",
    },
    "loss": {
        "PyTorch's cross-entropy and divergence": """
def loss(x, noise, encoder, decoder):
    mean, log_sigma = encoder(x).chunk(2, 1)
    q = torch.distributions.Normal(mean, log_sigma.exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    logits = decoder(q.loc + q.scale * noise)
    costs = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return costs.sum(-1).mean() + torch.distributions.kl_divergence(q, prior).sum(1).mean()
""",
        "a draw at a time": [
            (
                "z = mean + log_sigma.exp() * noise",
                "sigma = log_sigma.exp()",
            ),
            ("    logits = decoder(z)\n", ""),
            (
                _FIT,
                "sum(-F.softplus(decoder(mean + sigma * e) * (1 - 2 * x)).sum(1) for e in noise)"
                " / len(noise)",
            ),
        ],
    },
    "linear": {
        "a trace": (
            "(W.square().sum(0) * s**2).sum()",
            "torch.trace(W @ torch.diag(s**2) @ W.T)",
        ),
        "the bias taken off the input in place": (
            "    mean = x @ V.T + c\n",
            "    mean = x @ V.T + c\n    x -= b\n    b = 0\n",
        ),
        "a row at a time": """
def linear_elbo(x, W, b, sigma, V, c, s):
    found = []
    for row in x:
        mean = V @ row + c
        missed = float(((row - W @ mean - b) ** 2).sum())
        missed += sum(float(s[j]) ** 2 * float(W[:, j] @ W[:, j]) for j in range(len(s)))
        value = -missed / (2 * sigma**2) - len(row) * math.log(sigma * math.sqrt(2 * math.pi))
        for m, deviation in zip(mean.tolist(), s.tolist()):
            value -= (m * m + deviation**2 - 1) / 2 - math.log(deviation)
        found.append(value)
    return found
""",
    },
}
