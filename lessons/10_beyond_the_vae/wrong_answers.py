"""Answers to the exercises of lesson 10, written as tools/coursework/answers.py says."""

_SHARED = "torch.special.xlogy(p, p / apart.clamp_min(1e-300)).sum()"
_LOG_MEAN = "log_w.logsumexp(0) - math.log(len(log_w))"
_LOG_Q = "-0.5 * (noise**2 + math.log(2 * math.pi)).sum(-1)"
_BEST_S = "precision.diagonal() ** -0.5"
_DIFFERENCE = "elbo(best_mean, best_s.expand_as(s)) - elbo(mean, s)"

WRONG = {
    "mig": {
        "information in nats, not divided by the entropy": ("shared / entropy", "shared"),
        "divided by the entropy of the code": (
            "-torch.special.xlogy(p.sum(0), p.sum(0)).sum()",
            "-torch.special.xlogy(p.sum(1), p.sum(1)).sum()",
        ),
        "divided by the logarithm of the number of values": (
            "-torch.special.xlogy(p.sum(0), p.sum(0)).sum()",
            "math.log(v.max() + 1)",
        ),
        "the best code alone": ("(best[:, 0] - best[:, 1])", "best[:, 0]"),
        "best minus worst": ("best[:, 1])", "best[:, -1])"),
        "the gap between factors of one code": (
            "table.sort(dim=1, descending=True).values",
            "torch.cat([table, 0 * table[:1]]).T.sort(dim=1, descending=True).values",
        ),
        "the entropy of the pair": (_SHARED, "-torch.special.xlogy(p, p).sum()"),
        "divided by the smaller of the two entropies": (
            "-torch.special.xlogy(p.sum(0), p.sum(0)).sum()",
            "min(-torch.special.xlogy(m, m).sum() for m in (p.sum(0), p.sum(1)))",
        ),
        "one ratio of sums over factors": [
            (
                "            table[k, j] = ",
                "            whole[k] = entropy\n            table[k, j] = ",
            ),
            ("    for k, v in", "    whole = torch.zeros(len(table)).double()\n    for k, v in"),
            ("(best[:, 0] - best[:, 1]).mean()", "(best[:, 0] - best[:, 1]) @ whole / whole.sum()"),
        ],
        "counts for probabilities": ("            p = p / len(v)\n", ""),
        "a sum over factors": ("best[:, 1]).mean()", "best[:, 1]).sum()"),
    },
    "iwae": {
        "as it was given": "iwae = faulty_iwae",
        "the mean of the logarithms": (_LOG_MEAN, "log_w.mean(0)"),
        "the sum of the weights": (" - math.log(len(log_w))", ""),
        "divided by the number of rows": ("math.log(len(log_w))", "math.log(log_w.shape[1])"),
        "the best draw": (_LOG_MEAN, "log_w.max(0).values"),
        "the density of the prior for that of q": (
            _LOG_Q,
            "-0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)",
        ),
        "log sigma left out": (" + log_sigma.sum(1)", ""),
        "log sigma with the other sign": ("+ log_sigma.sum(1)", "- log_sigma.sum(1)"),
        "weights underflow": (_LOG_MEAN, "(log_w.exp().mean(0) + 1e-300).log()"),
        "the largest weight taken out and not put back": (
            _LOG_MEAN,
            "(log_w - log_w.max(0).values).logsumexp(0) - math.log(len(log_w))",
        ),
        "one shift for all rows": (
            _LOG_MEAN,
            "(log_w - log_w.max()).exp().mean(0).log() + log_w.max()",
        ),
        "a shift by the mean over draws": (
            _LOG_MEAN,
            "(log_w - log_w.mean(0)).exp().mean(0).log() + log_w.mean(0)",
        ),
        "a shift by the first draw": (
            _LOG_MEAN,
            "(log_w - log_w[0]).exp().mean(0).log() + log_w[0]",
        ),
        "weights clamped": (
            _LOG_MEAN,
            "log_w.clamp(min=-3000)" + ".logsumexp(0) - math.log(len(log_w))",
        ),
        "densities multiplied, then the logarithm": (
            "log_prior = -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)",
            "log_prior = (-0.5 * z**2).exp().prod(-1).log() - len(z[0, 0]) / 2 * math.log(2 * math.pi)",
        ),
        "a mean over pixels": ("* (2 * x - 1)).sum(-1)", "* (2 * x - 1)).mean(-1)"),
    },
    "gap": {
        "the sign turned round": (
            _DIFFERENCE,
            "elbo(mean, s) - elbo(best_mean, best_s.expand_as(s))",
        ),
        "the mean alone is improved": (_DIFFERENCE, "elbo(best_mean, s) - elbo(mean, s)"),
        "the variance alone is improved": (
            _DIFFERENCE,
            "elbo(mean, best_s.expand_as(s)) - elbo(mean, s)",
        ),
        "the posterior's marginal variances": (
            _BEST_S,
            "torch.linalg.inv(precision).diagonal() ** 0.5",
        ),
        "the prior forgotten in the posterior": (
            " + torch.eye(W.shape[1]).to(W)",
            " + 1e-6 * torch.eye(W.shape[1]).to(W)",
        ),
        "sigma not squared": ("W.T @ W / sigma**2", "W.T @ W / sigma"),
        "the code does not vary": (" + s**2 @ W.square().sum(0)", ""),
        "the whole gap up to log p": (
            _DIFFERENCE,
            "torch.distributions.MultivariateNormal(torch.zeros(x.shape[1]).to(x), "
            "W @ W.T + sigma**2 * torch.eye(x.shape[1]).to(x)).log_prob(x) - elbo(mean, s) "
            "+ x.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))",
        ),
    },
    "swap": {
        "encoded under the target's label": (
            "        pictures.append(",
            "        mean, _ = encoder(torch.cat([x, told], 1)).chunk(2, 1)\n        pictures.append(",
        ),
        "decoded under the own label": ("torch.cat([mean, told], 1)", "torch.cat([mean, own], 1)"),
        "logits for means": (".sigmoid())", ")"),
        "classes before rows": ("torch.stack(pictures, 1)", "torch.stack(pictures, 0)"),
        "log sigma for the mean": ("mean, _ = encoder", "_, mean = encoder"),
        "the label before the image": ("torch.cat([x, own], 1)", "torch.cat([own, x], 1)"),
        "the label before the code": ("torch.cat([mean, told], 1)", "torch.cat([told, mean], 1)"),
        "a draw for the mean": (
            "    pictures = []\n",
            "    mean = mean + torch.randn_like(mean)\n    pictures = []\n",
        ),
        "rounded to black and white": (".sigmoid())", ".sigmoid().round())"),
    },
}

RIGHT = {
    "mig": {
        "scikit-learn": """
def mig(codes, factors):
    from sklearn.metrics import mutual_info_score

    rows = []
    for v in factors.T.tolist():
        rows.append([mutual_info_score(v, c) / mutual_info_score(v, v) for c in codes.T.tolist()])
    ranked = [sorted(row) for row in rows]
    return rows, sum(row[-1] - row[-2] for row in ranked) / len(ranked)
""",
        "NumPy, changing the input in place": """
def mig(codes, factors):
    import numpy as np

    codes, factors = codes.numpy(), factors.numpy()
    codes *= 1000  # a pair of levels as one number
    H = lambda a: -sum(n / len(a) * np.log(n / len(a)) for n in np.unique(a, return_counts=True)[1])
    table = np.zeros((factors.shape[1], codes.shape[1]))
    for k in range(len(table)):
        for j in range(codes.shape[1]):
            v, c = factors[:, k], codes[:, j]
            table[k, j] = (H(v) + H(c) - H(c + v)) / H(v)
    ranked = np.sort(table, 1)
    return table.tolist(), float((ranked[:, -1] - ranked[:, -2]).mean())
""",
        "entropies": [
            (
                _SHARED,
                "-sum(torch.special.xlogy(m, m).sum() for m in (p.sum(0), p.sum(1)))"
                " + torch.special.xlogy(p, p).sum()",
            ),
        ],
    },
    "iwae": {
        "PyTorch's distributions": """
def iwae(x, noise, encoder, decoder):
    mean, log_sigma = encoder(x).chunk(2, 1)
    q = torch.distributions.Normal(mean, log_sigma.exp())
    z = q.loc + q.scale * noise
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    pixels = torch.distributions.Bernoulli(logits=decoder(z))
    log_w = pixels.log_prob(x.expand_as(pixels.logits)).sum(-1)
    log_w = log_w + (prior.log_prob(z) - q.log_prob(z)).sum(-1)
    top = log_w.max(0).values
    return top + (log_w - top).exp().mean(0).log()
""",
        "NumPy, noise changed in place": """
def iwae(x, noise, encoder, decoder):
    import numpy as np
    from scipy.special import logsumexp

    k = noise.shape[2]
    out = encoder(x).numpy()
    e = noise.numpy()
    log_w = 0.5 * (e**2).sum(2) + out[:, k:].sum(1)
    e *= np.exp(out[:, k:])
    e += out[:, :k]
    logits = decoder(noise).numpy()
    log_w -= 0.5 * (e**2).sum(2) + np.logaddexp(0, logits * (1 - 2 * x.numpy())).sum(2)
    return list(logsumexp(log_w, 0) - np.log(len(e)))
""",
        "a draw at a time": """
def iwae(x, noise, encoder, decoder):
    mean, log_sigma = encoder(x).chunk(2, 1)
    total = torch.full((len(x),), -math.inf, dtype=x.dtype)
    for e in noise:
        z = mean + log_sigma.exp() * e
        fit = -F.softplus(decoder(z) * (1 - 2 * x)).sum(1)
        log_w = fit + 0.5 * (e**2 - z**2).sum(1) + log_sigma.sum(1)
        total = torch.logaddexp(total, log_w)
    return (total - math.log(len(noise))).tolist()
""",
    },
    "gap": {
        "two divergences": """
def amortisation_gap(x, W, sigma, mean, s):
    precision = W.T @ W / sigma**2 + torch.eye(W.shape[1]).double()
    right = torch.linalg.inv(precision) @ W.T @ x.T / sigma**2
    found = []
    for n in range(len(x)):
        apart = mean[n] - right[:, n]
        total = 0.5 * apart @ precision @ apart
        for j in range(W.shape[1]):
            ratio = precision[j, j] * s[n, j] ** 2
            total = total + 0.5 * (ratio - 1 - ratio.log())
        found.append(float(total))
    return found
""",
        "NumPy, the mean changed in place": """
def amortisation_gap(x, W, sigma, mean, s):
    import numpy as np

    x, W, mean, s = (each.numpy() for each in (x, W, mean, s))
    x /= sigma
    W /= sigma
    precision = W.T @ W + np.eye(W.shape[1])
    ratio = s**2 * np.diag(precision)
    mean -= np.linalg.solve(precision, W.T @ x.T).T
    return 0.5 * ((mean @ precision * mean).sum(1) + (ratio - 1 - np.log(ratio)).sum(1))
""",
        "climbed by L-BFGS": """
def amortisation_gap(x, W, sigma, mean, s):
    def elbo(m, log_s):
        s2 = (2 * log_s).exp()
        missed = (x - m @ W.T).square().sum(1) + (s2[:, None] * W**2).sum((1, 2))
        return -missed / (2 * sigma**2) - (0.5 * (m**2 + s2 - 1) - log_s).sum(1)

    m, log_s = mean.clone().requires_grad_(), s.log().requires_grad_()
    optimizer = torch.optim.LBFGS([m, log_s], max_iter=500, tolerance_change=1e-12,
                                  line_search_fn="strong_wolfe")

    def lower():
        optimizer.zero_grad()
        loss = -elbo(m, log_s).sum()
        loss.backward()
        return loss

    optimizer.step(lower)
    return (elbo(m, log_s) - elbo(mean, s.log())).detach()
""",
    },
    "swap": {
        "an identity matrix, all classes at once": """
def swapped(x, y, encoder, decoder, classes):
    eye = torch.eye(classes, dtype=x.dtype)
    out = encoder(torch.cat([x, eye[y]], 1))
    code = out[:, : out.shape[1] // 2]
    rows = torch.cat([code.repeat_interleave(classes, 0), eye.repeat(len(x), 1)], 1)
    return torch.sigmoid(decoder(rows)).reshape(len(x), classes, -1)
""",
        "NumPy": """
def swapped(x, y, encoder, decoder, classes):
    import numpy as np

    eye, k = np.eye(classes), decoder.in_features - classes
    out = encoder(torch.from_numpy(np.hstack([x.numpy(), eye[y.numpy()]]))).numpy()
    pictures = np.zeros((len(x), classes, x.shape[1]))
    for target in range(classes):
        told = np.hstack([out[:, :k], np.tile(eye[target], (len(x), 1))])
        pictures[:, target] = 1 / (1 + np.exp(-decoder(torch.from_numpy(told)).numpy()))
    return pictures
""",
        "a row at a time, lists returned": """
def swapped(x, y, encoder, decoder, classes):
    pictures = []
    for row, label in zip(x, y.tolist()):
        own = torch.zeros(classes, dtype=x.dtype)
        own[label] = 1
        out = encoder(torch.cat([row, own])[None])[0]
        each = []
        for target in range(classes):
            told = torch.zeros(classes, dtype=x.dtype)
            told[target] = 1
            each.append(decoder(torch.cat([out[: len(out) // 2], told])[None])[0].sigmoid().tolist())
        pictures.append(each)
    return pictures
""",
    },
}
