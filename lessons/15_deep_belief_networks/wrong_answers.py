"""Answers to the exercises of lesson 15, written as tools/coursework/answers.py says."""

_JOINT = "x @ logits.T - F.softplus(logits).sum(1) + h @ a"
_TIED = "single.sum(1) - torch.special.entr(p).sum(1)"
_RISK = "1 - new.max(1).values.mean()"
_SOFTMAX = "log_joint.softmax(1)"
_LABELS = "minus_free_energy.log_softmax(1)"
_SBN = "(log_likelihood + (middle + top).logsumexp(1)).logsumexp(1)"
_DBM = "(x @ logits.T + above).logsumexp(1) - (below + above).logsumexp(0)"

WRONG = {
    "explained": {
        "the posterior of a restricted machine": (
            "on = (p @ h).clamp(0, 1)",
            "on = (a + x @ V).sigmoid()",
        ),
        "p(x | h) not normalised": (_JOINT, "x @ logits.T + h @ a"),
        "the prior forgotten": (_JOINT, "x @ logits.T - F.softplus(logits).sum(1) + 0 * (h @ a)"),
        "exponentials that underflow": (
            "log_joint.softmax(1)",
            "log_joint.exp() / log_joint.exp().sum(1, keepdim=True)",
        ),
        "one maximum for all rows": (
            _SOFTMAX,
            "(lambda e: e / e.sum(1, keepdim=True))((log_joint - log_joint.max()).exp())",
        ),
        "the first row's maximum for all rows": (
            _SOFTMAX,
            "(lambda e: e / e.sum(1, keepdim=True))((log_joint - log_joint[0].max()).exp())",
        ),
        "the logarithm of one minus a sigmoid": (
            _JOINT,
            "x @ logits.sigmoid().log().T + (1 - x) @ (1 - logits.sigmoid()).log().T + h @ a",
        ),
        "logarithms of nothing": [
            ("on = (p @ h).clamp(0, 1)", "on = p @ h"),
            (
                "torch.special.entr(on) + torch.special.entr(1 - on)",
                "-on * on.log() - (1 - on) * (1 - on).log()",
            ),
        ],
        "only pixels that are on": (_JOINT, "x @ F.logsigmoid(logits).T + h @ a"),
        "the most probable state": (
            "log_joint.softmax(1)",
            "F.one_hot(log_joint.argmax(1), len(h)).to(x)",
        ),
        "the sign of the total correlation": (
            _TIED,
            "torch.special.entr(p).sum(1) - single.sum(1)",
        ),
        "bits": (_TIED, f"({_TIED}) / math.log(2)"),
        "the entropy of the posterior": (_TIED, "torch.special.entr(p).sum(1)"),
        "only the entropy of units that are on": (
            "torch.special.entr(on) + torch.special.entr(1 - on)",
            "torch.special.entr(on)",
        ),
        "the biases changed in place": (
            "    h = states(len(a))",
            "    h = states(len(a))\n    b += 1\n    b -= 1 + 1e-12",
        ),
    },
    "readings": {
        "SBN for DBN": (
            "dbn = (log_likelihood + above.log_softmax(0)).logsumexp(1)",
            f"dbn = {_SBN}",
        ),
        "the top's prior without the hidden units": (
            "above = h @ b1 + F.softplus(h @ W2 + b2).sum(1)",
            "above = h @ b1",
        ),
        "a prior that is not normalised": ("above.log_softmax(0)", "above"),
        "DBN for SBN": (f"sbn = {_SBN}", "sbn = dbn.clone()"),
        "DBN for DBM": (f"dbm = {_DBM}", "dbm = dbn.clone()"),
        "a DBM whose likelihood is normalised": (
            _DBM,
            "(log_likelihood + above).logsumexp(1) - above.logsumexp(0)",
        ),
        "a DBM without the visible sum in Z": (
            "(below + above).logsumexp(0)",
            "above.logsumexp(0)",
        ),
        "the bias of the top forgotten in the SBN": (
            "top = g @ b2 - F.softplus(b2).sum()",
            "top = torch.full((len(g),), -math.log(len(g))).to(x)",
        ),
        "the bias of h1 forgotten in the SBN": ("fields = g @ W2.T + b1", "fields = g @ W2.T"),
        "all states of x listed": (
            f"dbm = {_DBM}",
            "every = states(len(b0))\n"
            "    dbm = (x @ logits.T + above).logsumexp(1)\n"
            "    dbm = dbm - (every @ logits.T + above).logsumexp((0, 1))",
        ),
        "the other order": ("return dbn, sbn, dbm", "return dbn, dbm, sbn"),
        "probabilities returned": (
            "return dbn, sbn, dbm",
            "return dbn.exp(), sbn.exp(), dbm.exp()",
        ),
        "all in probabilities": (
            "(log_likelihood + above.log_softmax(0)).logsumexp(1)",
            "(log_likelihood.exp() @ above.softmax(0)).log()",
        ),
        "a DBM whose sums overflow": (
            _DBM,
            "((x @ logits.T + above).exp().sum(1) / (below + above).exp().sum()).log()",
        ),
    },
    "sleep": {
        "as it was given": "sleep = faulty_sleep",
        "probabilities for dreams": (
            "(u < (h @ V.T + b).sigmoid()).to(h)",
            "(h @ V.T + b).sigmoid()",
        ),
        "uniform numbers below logits": (
            "(u < (h @ V.T + b).sigmoid())",
            "(u < (h @ V.T + b))",
        ),
        "the recognition thresholded": ("(x @ R.T + r).sigmoid()", "(x @ R.T + r > 0).to(h)"),
        "pixels on above their probability": ("(u < (h", "(u > (h"),
        "generative weights upwards": ("(x @ R.T + r)", "(x @ V + r)"),
        "probability minus state": [
            ("(h - q).T @ x", "(q - h).T @ x"),
            ("(h - q).mean(0)", "(q - h).mean(0)"),
        ],
        "a sum over rows": [
            (" / len(h), (h", ", (h"),
            (".mean(0)", ".sum(0)"),
        ],
        "the bias below forgotten": ("h @ V.T + b)", "h @ V.T + 0 * b)"),
        "the bias above forgotten": ("(x @ R.T + r)", "(x @ R.T)"),
        "a threshold at one half": ("(u < (h", "(0 * u + 0.5 < (h"),
        "the gradient of the wake phase's pixels": (
            "(h - q).T @ x / len(h)",
            "h.T @ (x - (h @ V.T + b).sigmoid()) / len(h)",
        ),
    },
    "labels": {
        "the largest free energy": ("minus_free_energy.log", "(-minus_free_energy).log"),
        "label biases forgotten": ("d + F.softplus", "0 * d + F.softplus"),
        "hidden biases forgotten": ("(h @ W + c)", "(h @ W + 0 * c)"),
        "softplus that overflows": (
            "F.softplus(field).sum(2)",
            "torch.log(1 + torch.exp(field)).sum(2)",
        ),
        "hidden units at their means": (
            "F.softplus(field).sum(2)",
            "(field * field.sigmoid()).sum(2)",
        ),
        "a linear classifier": ("F.softplus(field).sum(2)", "field.sum(2)"),
        "the label's weights outside": (
            "F.softplus(field).sum(2)",
            "(F.softplus(h @ W + c).sum(1)[:, None] + U.sum(1))",
        ),
        "labels normalised over rows": (
            "minus_free_energy.log_softmax(1)",
            "minus_free_energy.log_softmax(0)",
        ),
        "frequencies ignored": ("(log_p + p.log()).softmax(1)", "log_p.exp()"),
        "frequencies not normalised": (
            "(log_p + p.log()).softmax(1)",
            "log_p.exp() * p",
        ),
        "frequencies divided by": ("log_p + p.log()", "log_p - p.log()"),
        "the probability of being right": (
            "1 - new.max(1).values.mean()",
            "new.max(1).values.mean()",
        ),
        "a sum over rows": (_RISK, "(1 - new.max(1).values).sum()"),
        "one label for all rows, the best on average": (_RISK, "1 - new.mean(0).max()"),
        "one label for all rows, the most frequent": (
            _RISK,
            "1 - new[:, new.argmax(1).mode().values].mean()",
        ),
        "a mean weighted by the frequencies again": (
            _RISK,
            "(lambda w: ((1 - new.max(1).values) * w).sum() / w.sum())(p[new.argmax(1)])",
        ),
        "probabilities h thresholded": ("(h @ W + c)", "((h > 0.5).to(h) @ W + c)"),
        "probabilities h cut to integers": ("(h @ W + c)", "(h.long().to(h) @ W + c)"),
        "relative to the first label": (
            _LABELS,
            "(lambda e: e / e.sum(1, keepdim=True))(\n"
            "        (minus_free_energy - minus_free_energy[:, :1]).exp()).log()",
        ),
    },
}

RIGHT = {
    "explained": {
        "loops over states, the divergence from the product": """
def explained(a, V, b, x):
    K, marginals, tied = len(a), [], []
    h = states(K)
    for row in x:
        logs = []
        for state in h:
            field = V @ state + b
            logs.append((row * field - F.softplus(field)).sum() + state @ a)
        logs = torch.stack(logs)
        log_p = logs - logs.logsumexp(0)
        on = [min(1.0, log_p[h[:, j] == 1].exp().sum().item()) for j in range(K)]
        off = [min(1.0, log_p[h[:, j] == 0].exp().sum().item()) for j in range(K)]
        total = 0.0
        for state, value in zip(h.tolist(), log_p.tolist()):
            if value > -700:
                product = sum(math.log(on[j] if s else off[j]) for j, s in enumerate(state))
                total += math.exp(value) * (value - product)
        marginals.append(on)
        tied.append(total)
    return marginals, tied
""",
        "NumPy": """
def explained(a, V, b, x):
    import numpy as np

    a, V, b, x = (t.numpy() for t in (a, V, b, x))
    h = states(len(a)).numpy()
    logits = h @ V.T + b
    logs = x @ logits.T - np.logaddexp(0, logits).sum(1) + h @ a
    p = np.exp(logs - logs.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    on = np.clip(p @ h, 0, 1)

    def entropy(q):
        return -(q * np.log(np.where(q > 0, q, 1))).sum(1)

    return on, entropy(on) + entropy(1 - on) - entropy(p)
""",
    },
    "readings": {
        "the SBN from the top, the DBM through its visible field": """
def readings(x, W1, W2, b0, b1, b2):
    h, g = states(len(b1)), states(len(b2))
    pair = h @ W2 @ g.T + (h @ b1)[:, None] + g @ b2
    v = h @ W1.T + b0
    like = torch.stack([F.logsigmoid((2 * row - 1) * v).sum(1) for row in x])
    own = torch.stack([F.logsigmoid((2 * h - 1) * (W2 @ s + b1)).sum(1) for s in g], 1)
    own = own + F.logsigmoid((2 * g - 1) * b2).sum(1)
    energy = (x @ b0)[:, None] + x @ W1 @ h.T
    log_z = (pair.logsumexp(1) + F.softplus(v).sum(1)).logsumexp(0)
    return (
        (like + pair.logsumexp(1)).logsumexp(1) - pair.logsumexp((0, 1)),
        (like[:, :, None] + own).logsumexp((1, 2)),
        (energy + pair.logsumexp(1)).logsumexp(1) - log_z,
    )
""",
        "loops over rows, h and g": """
def readings(x, W1, W2, b0, b1, b2):
    H, G = states(len(b1)), states(len(b2))
    out, zd, zm = [[], [], []], [], []
    for h in H:
        for g in G:
            e = h @ W2 @ g + h @ b1 + g @ b2
            zd.append(e)
            zm.append(e + F.softplus(W1 @ h + b0).sum())
    for row in x:
        D, S, M = [], [], []
        for h in H:
            v = W1 @ h + b0
            like = (row * v - F.softplus(v)).sum()
            for g in G:
                e = h @ W2 @ g + h @ b1 + g @ b2
                f = W2 @ g + b1
                D.append(like + e)
                S.append(like + (h * f - F.softplus(f)).sum() + (g * b2 - F.softplus(b2)).sum())
                M.append(row @ v + e)
        out[0].append(torch.stack(D).logsumexp(0) - torch.stack(zd).logsumexp(0))
        out[1].append(torch.stack(S).logsumexp(0))
        out[2].append(torch.stack(M).logsumexp(0) - torch.stack(zm).logsumexp(0))
    return out
""",
        "NumPy, row by row, as lists": """
def readings(x, W1, W2, b0, b1, b2):
    import numpy as np

    x, W1, W2, b0, b1, b2 = (t.numpy() for t in (x, W1, W2, b0, b1, b2))
    h, g = states(len(b1)).numpy(), states(len(b2)).numpy()

    def total(v):
        return v.max() + np.log(np.exp(v - v.max()).sum())

    v, u = h @ W1.T + b0, g @ W2.T + b1
    soft = np.logaddexp(0, v).sum(1)
    top = h @ b1 + np.logaddexp(0, h @ W2 + b2).sum(1)
    mid = h @ u.T - np.logaddexp(0, u).sum(1) + g @ b2 - np.logaddexp(0, b2).sum()
    mid = np.array([total(row) for row in mid])
    dbn = [total(v @ row - soft + top) - total(top) for row in x]
    sbn = [total(v @ row - soft + mid) for row in x]
    dbm = [total(v @ row + top) - total(soft + top) for row in x]
    return dbn, sbn, dbm
""",
    },
    "sleep": {
        "autograd": """
def sleep(h, V, b, R, r, u):
    x = (u < torch.sigmoid(h @ V.T + b)).double()
    R, r = R.clone().requires_grad_(), r.clone().requires_grad_()
    loss = F.binary_cross_entropy_with_logits(x @ R.T + r, h, reduction="sum") / len(h)
    return [-g for g in torch.autograd.grad(loss, (R, r))]
""",
        "loops": """
def sleep(h, V, b, R, r, u):
    N, d, m = len(h), len(b), len(r)
    for_R, for_r = [[0.0] * d for _ in range(m)], [0.0] * m
    for n in range(N):
        x = [float(u[n, i] < torch.sigmoid(V[i] @ h[n] + b[i])) for i in range(d)]
        for j in range(m):
            t = r[j].item() + sum(R[j, i].item() * x[i] for i in range(d))
            off = (h[n, j].item() - 1 / (1 + math.exp(-t))) / N
            for_r[j] += off
            for i in range(d):
                for_R[j][i] += off * x[i]
    return for_R, for_r
""",
    },
    "labels": {
        "free energies with h . b, in a loop": """
def label_probabilities(h, W, b, c, U, d, p):
    F_y = [-(h @ b) - d[y] - F.softplus(h @ W + c + U[y]).sum(1) for y in range(len(d))]
    given = (-torch.stack(F_y, 1)).softmax(1)
    new = given * p
    new = new / new.sum(1, keepdim=True)
    return given, (1 - new.max(1).values).mean().item()
""",
        "NumPy, lists": """
def label_probabilities(h, W, b, c, U, d, p):
    import numpy as np

    h, W, c, U, d, p = (t.numpy() for t in (h, W, c, U, d, p))
    score = np.logaddexp(0, (h @ W + c)[:, None] + U).sum(2) + d
    given = np.exp(score - score.max(1, keepdims=True))
    given /= given.sum(1, keepdims=True)
    new = given * p
    new /= new.sum(1, keepdims=True)
    return given.tolist(), float(1 - new.max(1).mean())
""",
    },
}
