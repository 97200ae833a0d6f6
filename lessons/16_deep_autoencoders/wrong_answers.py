"""Answers to the exercises of lesson 16, written as tools/coursework/answers.py says."""

_LAST = "0.5 * (s * a).square().sum(1)"
_POOLED = "(close & same).sum() / close.sum()"
_APART = "apart = (queries[:, None] != documents).sum(2)"
_SAME = "same = labels_q[:, None] == labels_d"
_EMPTY = "(close.sum(1) == 0).double().mean()"

WRONG = {
    "gaussian": {
        "variances of one": [("c + s**2 * a", "c + a"), ("(s * a)", "a")],
        "the deviation for the variance": ("c + s**2 * a", "c + s * a"),
        "divided by the variance": ("c + s**2 * a", "c + a / s**2"),
        "a sigmoid": ("c + s**2 * a", "torch.sigmoid(c + a)"),
        "the mean without c": ("c + s**2 * a", "s**2 * a"),
        "the other sign": ("F = -(v @ b) - a @ c - ", "F = (v @ b) + a @ c + "),
        "variances of one in F alone": ("(s * a)", "a"),
        "without the half": (_LAST, "(s * a).square().sum(1)"),
        "the last term raises F": (f"a @ c - {_LAST}", f"a @ c + {_LAST}"),
        "without the term of c": (" - a @ c", ""),
        "without the visible bias": ("F = -(v @ b) - a @ c", "F = -a @ c"),
        "softplus, as for binary units": (
            f"a @ c - {_LAST}",
            "torch.nn.functional.softplus(a + c).sum(1)",
        ),
        "the square of the sum": (_LAST, "0.5 * (s * a).sum(1).square()"),
        "a sum over a fixed grid": """
def gaussian_machine(v, W, b, c, s):
    h = torch.linspace(-60, 60, 6001, dtype=torch.float64)[:, None]
    prior = -((h - c) ** 2) / (2 * s**2)
    logs = prior + (v @ W)[:, None] * h
    F = -(v @ b) - (logs.logsumexp(1) - prior.logsumexp(0)).sum(1)
    return F, (logs.softmax(1) * h).sum(1)
""",
        "exponentials that overflow": (
            f"- a @ c - {_LAST}",
            f"- (a * c + {_LAST.removesuffix('.sum(1)')}).exp().log().sum(1)",
        ),
        "weights changed in place": ("a = v @ W\n", "W *= s\n    a = v @ W / s\n"),
    },
    "unrolled": {
        "as it was given": "unrolled = faulty_unrolled",
        "a sigmoid at the code": ("code = x @ W + c", "code = torch.sigmoid(x @ W + c)"),
        "hidden biases on the way down": ("W, b, _ in reversed", "W, _, b in reversed"),
        "no biases on the way down": ("x @ W.T + b", "x @ W.T"),
        "the lowest machine first on the way down": ("reversed(machines)", "machines"),
        "weights not transposed": ("x @ W.T + b", "x @ W + b"),
        "a rounded reconstruction": ("return code, x", "return code, x.round()"),
        "a linear output": ("return code, x", "return code, x.logit()"),
        "no sigmoids at all": [
            ("x = torch.sigmoid(x @ W + c)", "x = x @ W + c"),
            ("x = torch.sigmoid(x @ W.T + b)", "x = x @ W.T + b"),
        ],
        "a sigmoid of the code on the way down": ("x = code\n", "x = torch.sigmoid(code)\n"),
        "weights not transposed, hidden biases": (
            "W, b, _ in reversed(machines):\n        x = torch.sigmoid(x @ W.T + b)",
            "W, _, b in reversed(machines):\n        x = torch.sigmoid(x @ W + b)",
        ),
        "the narrowest layer for the code": """
def unrolled(x, machines):
    layers = []
    for number, (W, _, c) in enumerate(machines, 1):
        x = x @ W + c
        if number < len(machines):
            x = torch.sigmoid(x)
        layers.append(x)
    for W, b, _ in reversed(machines):
        x = torch.sigmoid(x @ W.T + b)
    return min(reversed(layers), key=lambda h: h.shape[1]), x
""",
        "a reconstruction kept from 0 and 1": (
            "return code, x",
            "return code, x.clamp(0.001, 0.999)",
        ),
        "a sigmoid that overflows": (
            "x = torch.sigmoid(x @ W + c)",
            "t = (x @ W + c).exp()\n        x = t / (1 + t)",
        ),
        "the machines taken off their list": (
            "for W, b, _ in reversed(machines):",
            "while machines:\n        W, b, _ = machines.pop()",
        ),
    },
    "retrieval": {
        "the mean over all ranks": (
            "(precision * relevant).sum(1) / count",
            "precision.mean(1)",
        ),
        "over the number of documents": (
            "(precision * relevant).sum(1) / count",
            "(precision * relevant).mean(1)",
        ),
        "the precision of everything": (
            "(precision * relevant).sum(1) / count",
            "relevant.mean(1)",
        ),
        "NaN where nothing is relevant": (".clamp(min=1)", ""),
        "ranks from zero": (
            "torch.arange(1, relevant.shape[1] + 1)",
            "torch.arange(relevant.shape[1]) + 0.5",
        ),
        "fewer than radius bits": ("apart <= radius", "apart < radius"),
        "only at exactly the radius": ("apart <= radius", "apart == radius"),
        "the mean over queries": (
            _POOLED,
            "((close & same).sum(1) / close.sum(1).clamp(min=1)).mean()",
        ),
        "recall": (_POOLED, "(close & same).sum() / same.sum()"),
        "queries that find something": ("(close.sum(1) == 0)", "(close.sum(1) > 0)"),
        "queries that find nothing relevant": (
            "(close.sum(1) == 0)",
            "((close & same).sum(1) == 0)",
        ),
        "only bits that the document has": (_APART, _APART.replace("!=", "<")),
        "the difference of the numbers of ones": (
            _APART,
            "apart = (queries[:, None] - documents).sum(2).abs()",
        ),
        "codes of one byte": (
            _APART,
            """import numpy as np

    q, d = (
        torch.as_tensor(np.packbits(codes.numpy().astype(np.uint8), axis=1)[:, 0].astype(int))
        for codes in (queries, documents)
    )
    apart = sum((q[:, None] ^ d) >> i & 1 for i in range(8))""",
        ),
        "addresses in float32": (
            _APART,
            """place = 2.0 ** torch.arange(queries.shape[1])
    q, d = ((codes.float() @ place).long() for codes in (queries, documents))
    apart = sum((q[:, None] ^ d) >> i & 1 for i in range(40))""",
        ),
        "all bits but one flipped at most": (
            "apart <= radius",
            "apart <= min(radius, queries.shape[1] - 1)",
        ),
        "codes changed in place to -1 and 1": (
            _APART,
            """queries.mul_(2).sub_(1)
    documents.mul_(2).sub_(1)
    apart = (queries.shape[1] - queries @ documents.T) // 2""",
        ),
        "labels that are one object": (
            _SAME,
            "same = torch.tensor(\n        [[a is b for b in labels_d.tolist()] for a in labels_q.tolist()])",
        ),
        "labels counted from zero": (
            _SAME,
            "same = sum(\n        (labels_q[:, None] == k) & (labels_d == k) for k in range(labels_d.max() + 1))",
        ),
        "hits remembered by the query's code": (
            _SAME,
            """rows = queries.tolist()
    same = labels_q[[rows.index(row) for row in rows]][:, None] == labels_d""",
        ),
        "equal queries that find nothing counted once": (
            _EMPTY,
            "len(queries[~close.any(1)].unique(dim=0)) / len(queries)",
        ),
        "equal queries counted once": (
            _EMPTY,
            "len(queries[~close.any(1)].unique(dim=0)) / len(queries.unique(dim=0))",
        ),
    },
}

RIGHT = {
    "gaussian": {
        "with names that the checks might take": """
from torch.nn import functional as F

mean = 2  # of the denominator


def gaussian_machine(v, W, b, c, s):
    a = F.linear(v, W.T)
    return -(v @ b) - (a * c + (s * a) ** 2 / mean).sum(1), c + s**2 * a
""",
        "NumPy, weights scaled, lists": """
def gaussian_machine(v, W, b, c, s):
    import numpy as np

    v, W, b, c, s = (each.numpy() for each in (v, W, b, c, s))
    a = v @ (W * s)
    F = -(v @ b) - a @ (c / s) - (a**2).sum(1) / 2
    return F.tolist(), (c + s * a).tolist()
""",
        "float32, from the minimum of E": """
def gaussian_machine(v, W, b, c, s):
    v, W, b, c, s = (each.float() for each in (v, W, b, c, s))

    def E(v, h):
        return ((h - c) ** 2 / (2 * s**2)).sum(1) - v @ b - (v @ W * h).sum(1)

    h = c + s**2 * (v @ W)
    return E(v, h), h
""",
    },
    "unrolled": {
        "NumPy and loops": """
def unrolled(x, machines):
    import numpy as np

    x = x.numpy()
    for number, (W, b, c) in enumerate(machines):
        x = x @ W.numpy() + c.numpy()
        if number < len(machines) - 1:
            x = 1 / (1 + np.exp(-x))
    code = x
    machines = list(machines)
    while machines:
        W, b, c = machines.pop()
        x = 1 / (1 + np.exp(-(x @ W.numpy().T + b.numpy())))
    return code, x
""",
        "with helpers that the checks might have, too": """
def logistic(t):
    return 1 / (1 + torch.exp(-t))


def both(x, machines):
    (W, b, c), *above = machines
    h = x @ W + c
    code, h = both(logistic(h), above) if above else (h, h)
    return code, logistic(h @ W.T + b)


unrolled = both
""",
        "recursion, float32": """
def unrolled(x, machines):
    (W, b, c), *above = [tuple(p.float() for p in each) for each in machines]
    h = x.float() @ W + c
    if above:
        code, h = unrolled(torch.sigmoid(h), above)
    else:
        code = h
    return code, torch.sigmoid(h @ W.T + b)
""",
    },
    "retrieval": {
        "loops and lists": """
def average_precision(relevant):
    found = []
    for row in relevant.tolist():
        hits = [rank for rank, hit in enumerate(row, 1) if hit]
        parts = [number / rank for number, rank in enumerate(hits, 1)]
        found.append(sum(parts) / len(parts) if parts else 0.0)
    return found


def within(queries, documents, labels_q, labels_d, radius):
    good = seen = empty = 0
    for code, label in zip(queries.tolist(), labels_q.tolist()):
        mine = [other for row, other in zip(documents.tolist(), labels_d.tolist())
                if sum(a != b for a, b in zip(code, row)) <= radius]
        good += mine.count(label)
        seen += len(mine)
        empty += not mine
    return good / seen, empty / len(queries)
""",
        "arrays of one beside zeros; addresses of integers": """
import numpy as np


def average_precision(relevant):
    out = []
    for row in relevant.numpy():
        k = np.flatnonzero(row) + 1
        out.append(np.array([np.mean(np.arange(1, len(k) + 1) / k)]) if len(k) else 0)
    return out


def within(queries, documents, labels_q, labels_d, radius):
    found = {}
    for row, label in zip(documents.tolist(), labels_d.tolist()):
        found.setdefault(int("".join(map(str, row)), 2), []).append(label)
    good, seen, empty = 0, 0, []
    for row, label in zip(queries.tolist(), labels_q.tolist()):
        address = int("".join(map(str, row)), 2)
        mine = [x for a, those in found.items() if (a ^ address).bit_count() <= radius
                for x in those]
        good += mine.count(label)
        seen += len(mine)
        empty.append(not mine)
    return np.array([good / seen]), torch.tensor(empty).double().mean()
""",
        "NumPy; distances by a product": """
def average_precision(relevant):
    import numpy as np

    r = relevant.numpy().astype(float)
    precision = r.cumsum(1) / np.arange(1, r.shape[1] + 1)
    return np.nan_to_num((precision * r).sum(1) / np.maximum(r.sum(1), 1))


def within(queries, documents, labels_q, labels_d, radius):
    q, d = (each.double() for each in (queries, documents))
    apart = q @ (1 - d).T + (1 - q) @ d.T
    close = (apart < radius + 0.5).double()
    same = (labels_q[:, None] == labels_d[None]).double()
    return (close * same).sum() / close.sum(), 1 - close.amax(1).mean()
""",
    },
}
