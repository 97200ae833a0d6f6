"""Answers to the exercises of lesson 08, written as tools/coursework/answers.py says."""

WRONG = {
    "bound": {
        "the entropy is subtracted": ("+ entropy", "- entropy"),
        "0 log 0 is not a number": ("-torch.xlogy(q, q).sum(1)", "-(q * q.log()).sum(1)"),
        "the divergence the other way round": (
            "joint.logsumexp(1) - elbo",
            "torch.nn.functional.kl_div("
            "q.log(), joint.log_softmax(1), reduction='none', log_target=True).sum(1)",
        ),
        "the logarithm of an underflowed sum": ("joint.logsumexp(1)", "joint.exp().sum(1).log()"),
        "the entropy is forgotten": (" + entropy", ""),
        "one shift for the whole table": (
            "joint.logsumexp(1)",
            "joint.max() + (joint - joint.max()).exp().sum(1).log()",
        ),
        "each row shifted by its mean": (
            "joint.logsumexp(1)",
            "joint.mean(1) + (joint - joint.mean(1, keepdim=True)).exp().sum(1).log()",
        ),
        "through a posterior that underflows": (
            "joint.logsumexp(1) - elbo",
            "(torch.xlogy(q, q) - torch.xlogy(q, joint.softmax(1))).sum(1)",
        ),
        "a small number in the logarithms": (
            "joint.logsumexp(1) - elbo",
            "(q * ((q + 1e-12).log() - (joint.softmax(1) + 1e-12).log())).sum(1)",
        ),
    },
    "waiting": {
        "means instead of rates": ("counts / totals", "totals / counts"),
        "the old weights are forgotten": ("weights.log() + rates.log()", "rates.log()"),
        "the density without its factor": ("+ rates.log() -", "-"),
        "responsibilities over the rows": ("joint.softmax(1)", "joint.softmax(0)"),
        "probabilities that underflow": (
            "joint.softmax(1)",
            "joint.exp() / joint.exp().sum(1, keepdim=True)",
        ),
        "where all underflow, split evenly": (
            "joint.softmax(1)",
            "(joint.exp() + 1e-300) / (joint.exp() + 1e-300).sum(1, keepdim=True)",
        ),
        "where all underflow, the old weights": (
            "joint.softmax(1)",
            "joint.exp() / joint.exp().sum(1, keepdim=True)"
            "; q = torch.where(q.isnan(), weights, q)",
        ),
        "where all underflow, the first component": (
            "joint.softmax(1)",
            "joint.exp(); q[q.sum(1) == 0, 0] = 1; q = q / q.sum(1, keepdim=True)",
        ),
        "hard assignments": (
            "joint.softmax(1)",
            "torch.nn.functional.one_hot(joint.argmax(1), len(rates)).double()",
        ),
    },
    "limit": {
        "the exponent is not halved": ("(2 * sigma**2)", "sigma**2"),
        "sigma is a variance": ("sigma**2", "sigma"),
        "distances, not their squares": (
            "(x[:, None] - means).square().sum(-1)",
            "torch.cdist(x, means)",
        ),
        "a mean without rows goes to the origin": (
            "torch.where(counts > 0, moved, means)",
            "moved",
        ),
        "a mean with small responsibilities stays": ("counts > 0, moved", "counts > 1e-6, moved"),
        "a mean that is nearest to no row stays": (
            "counts > 0, moved",
            "(squares.argmin(1)[:, None] == torch.arange(len(means))).any(0)[:, None], moved",
        ),
        "a small number in the denominator": ("counts.clamp_min(1e-300)", "(counts + 1e-10)"),
        "a small sigma is taken for zero": ("if sigma == 0", "if sigma < 0.01"),
        "weights that underflow": (
            "(-squares / (2 * sigma**2)).softmax(1)",
            "torch.exp(-squares / (2 * sigma**2)); q = q / q.sum(1, keepdim=True).clamp_min(1e-300)",
        ),
    },
    "m_step": {
        "as it was given": "m_step = faulty_m_step",
        "the variance about the old means": ("x[:, None] - means", "x[:, None] - old_means"),
        "the floor is added": (".clamp_min(floor)", " + floor"),
        "the weights do not sum to one": ("counts.sum()", "counts.max()"),
        "divided by the number of rows": ("squares / counts[:, None]", "squares / len(x)"),
        "the mean of squares less the square of the mean": (
            "(squares / counts[:, None])",
            "(q.T @ x.square() / counts[:, None] - means.square())",
        ),
    },
}

RIGHT = {
    "bound": {
        "row by row, with the posterior": """
def bound_and_gap(joint, q):
    bounds, gaps = [], []
    for terms, row in zip(joint, q):
        log_posterior = terms - torch.logsumexp(terms, 0)
        keep = row > 0
        bounds.append((row[keep] * (terms[keep] - row[keep].log())).sum())
        gaps.append((row[keep] * (row[keep].log() - log_posterior[keep])).sum())
    return torch.stack(bounds), torch.stack(gaps)
""",
        "lists, with the input changed in place": """
def bound_and_gap(joint, q):
    elbo = (q * joint - torch.xlogy(q, q)).sum(1)
    top = joint.amax(1, keepdim=True)
    joint -= top
    log_p = top[:, 0] + joint.exp().sum(1).log()
    return elbo.tolist(), (log_p - elbo).tolist()
""",
    },
    "waiting": {
        "NumPy and a loop": """
def em_step(x, weights, rates):
    import numpy as np

    x, weights, rates = (np.asarray(each, dtype=float) for each in (x, weights, rates))
    counts, totals = np.zeros(len(rates)), np.zeros(len(rates))
    for time in x:
        terms = np.log(weights) + np.log(rates) - rates * time
        q = np.exp(terms - terms.max())
        q /= q.sum()
        counts += q
        totals += q * time
    return counts / len(x), counts / totals
""",
        "lists of floats": """
def em_step(x, weights, rates):
    sums = [[0.0, 0.0] for _ in rates]
    for time in x.tolist():
        terms = [
            math.log(w) + math.log(rate) - rate * time
            for w, rate in zip(weights.tolist(), rates.tolist())
        ]
        parts = [math.exp(term - max(terms)) for term in terms]
        for pair, part in zip(sums, parts):
            pair[0] += part / sum(parts)
            pair[1] += part / sum(parts) * time
    return [count / len(x) for count, _ in sums], [count / total for count, total in sums]
""",
    },
    "limit": {
        "cdist and a loop": """
def mean_step(x, means, sigma):
    squares = torch.cdist(x, means) ** 2
    moved = []
    for k in range(len(means)):
        if sigma > 0:
            r = (-squares / (2 * sigma**2)).log_softmax(1)[:, k].exp()
        else:
            r = (squares.argmin(1) == k).double()
        moved.append((r[:, None] * x).sum(0) / r.sum() if r.sum() > 0 else means[k])
    return torch.stack(moved)
""",
        "the given means changed in place, a list returned": """
def mean_step(x, means, sigma):
    squares = ((x[:, None] - means) ** 2).sum(-1)
    q = (-squares / (2 * sigma**2)).softmax(1) if sigma else (
        squares == squares.amin(1, keepdim=True)).double()
    for k, r in enumerate(q.T):
        if r.any():
            means[k] = r @ x / r.sum()
    return means.tolist()
""",
    },
    "m_step": {
        "one component after the other": """
def m_step(x, q, old_means, floor):
    weights, means, variances = [], [], []
    for r in q.T:
        mean = (r[:, None] * x).sum(0) / r.sum()
        variance = (r[:, None] * (x - mean) ** 2).sum(0) / r.sum()
        weights.append(r.mean())
        means.append(mean)
        variances.append(torch.maximum(variance, torch.tensor(floor).double()))
    return torch.stack(weights), torch.stack(means), torch.stack(variances)
""",
        "responsibilities normalised in place, lists returned": """
def m_step(x, q, old_means, floor):
    weights = q.mean(0)
    q /= q.sum(0)
    means = q.T @ x
    variances = torch.einsum("nk,nkd->kd", q, (x[:, None] - means) ** 2)
    return weights.tolist(), means.tolist(), variances.clamp(min=floor).tolist()
""",
    },
}
