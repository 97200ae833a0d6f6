"""Answers to the exercises of lesson 06, written as tools/coursework/answers.py says."""

_MERGE = "transpose(0, 1).flatten(1)"
_MASKED = "scores.masked_fill(future, -math.inf)"
_JACOBIAN = "((1 - state**2)[:, None] * u)"
_NORM = "torch.linalg.matrix_norm(product, 2)"
_APPEND = f"        norms.append({_NORM})\n"
_TABLE = "(joint / temperature).flatten().softmax(0).view_as(second)"

WRONG = {
    "cell": {
        "input and forget gates exchanged": ("i, f, g, o", "f, i, g, o"),
        "output gate before the candidate": ("i, f, g, o", "i, f, o, g"),
        "the candidate is a gate": ("g.tanh()", "g.sigmoid()"),
        "the old state is not kept": ("f.sigmoid() * c + ", ""),
        "nothing is ever forgotten": ("f.sigmoid() * c", "c"),
        "what is not let in is kept": ("f.sigmoid() * c", "(1 - i.sigmoid()) * c"),
        "c is shown as it is": ("c.tanh()", "c"),
        "everything is shown": ("o.sigmoid() * ", ""),
        "c goes back in place of h": ("h @ u.T", "c @ u.T"),
        "no recurrence": (" + h @ u.T", ""),
        "u is not transposed": ("u.T", "u.reshape(-1, 4 * h.shape[1])"),
        "c is returned": ("append(h)", "append(c)"),
        "time comes first": ("(states, 1)", "(states, 0)"),
    },
    "attention": {
        "no mask": (_MASKED, "scores"),
        "a position does not see itself": (".triu(1)", ".triu() & (torch.arange(len(h)) > 0)"),
        "the past is masked": (".triu(1)", ".tril(-1)"),
        "past queries meet the new key": ("query @ key.mT", "key @ query.mT"),
        "queries are merged": ("weights @ value", "weights @ query"),
        "keys are merged": ("weights @ value", "weights @ key"),
        "masked after the softmax": (f"{_MASKED}.softmax(-1)", "scores.softmax(-1) * ~future"),
        "the future scores zero": ("-math.inf", "0"),
        "softmax over those who ask": (".softmax(-1)", ".softmax(-2)"),
        "no scaling": (" / math.sqrt(query.shape[-1])", ""),
        "scaled by the size": ("math.sqrt(query.shape[-1])", "query.shape[-1]"),
        "scaled by the whole width": ("query.shape[-1]", "h.shape[1]"),
        "vectors times matrices": ("matrix.T", "matrix"),
        "heads are added up": (_MERGE, "sum(0).repeat(1, heads)"),
        "heads are interleaved": (_MERGE, "permute(1, 2, 0).flatten(1)"),
        "only the best is looked at": [
            (_MASKED, f"F.one_hot({_MASKED}"),
            (".softmax(-1)", ".argmax(-1), len(h)).float()"),
        ],
    },
    "cache": {
        "queries are kept": (
            ", (keys, values)",
            ", (torch.cat([keys[:, :-1], query[:, None]], 1), values)",
        ),
        "the new position is left out": [
            ("* keys)", "* keys[:, : max(1, keys.shape[1] - 1)])"),
            ("* values)", "* values[:, : max(1, values.shape[1] - 1)])"),
        ],
        "scaled by the length": ("query.shape[1]", "keys.shape[1]"),
        "no scaling": (" / math.sqrt(query.shape[1])", ""),
        "keys are mixed": ("* values)", "* keys)"),
        "values are kept as keys": (", (keys, values)", ", (values, values)"),
        "only the last sixteen are remembered": (
            ", (keys, values)",
            ", (keys[:, -16:], values[:, -16:])",
        ),
        "only the last is remembered": (", (keys, values)", ", (key[:, None], value[:, None])"),
        "newest first, values last": ("[memory[0], keys]", "[keys, memory[0]]"),
        "only the first row's memory": ("* keys)", "* keys[:1])"),
        "no softmax": ("scores.softmax(1)", "(scores / scores.shape[1])"),
        "the memory is changed in place": """
def step(query, key, value, memory):
    memory = ([], []) if memory is None else memory
    memory[0].append(key)
    memory[1].append(value)
    keys, values = torch.stack(memory[0], 1), torch.stack(memory[1], 1)
    scores = (query[:, None] * keys).sum(2) / math.sqrt(query.shape[1])
    return (scores.softmax(1)[:, :, None] * values).sum(1), memory
""",
    },
    "reach": {
        "powers of U": (_JACOBIAN, "u"),
        "the tanh of a tanh": ("state**2", "state.tanh() ** 2"),
        "1 − h": ("state**2", "state"),
        "the derivative on the other side": ("[:, None] * u", " * u"),
        "multiplied in the wrong order": (f"product @ {_JACOBIAN}", f"{_JACOBIAN} @ product"),
        "one state too early": ("h.flip(0)", "h.roll(1, 0).flip(0)"),
        "forwards in time": ("h.flip(0)", "h.roll(-1, 0)"),
        "each step by itself": ("product @ ", ""),
        "the Frobenius norm": (_NORM, "product.norm() if norms else h.new_ones(())"),
        "the bound": (f"@ {_JACOBIAN}", f"* torch.linalg.matrix_norm({_JACOBIAN}, 2)"),
        "the identity is left out": [(_APPEND, ""), ("    return", f"{_APPEND}    return")],
        "the spectral radius": (_NORM, "torch.linalg.eigvals(product).abs().max()"),
    },
    "temperature": {
        "the temperature is a factor": [
            ("second.log() / temperature", "second.log() * temperature"),
            ("first.log() / temperature", "first.log() * temperature"),
        ],
        "probabilities for logits": ("first.log() / temperature", "first / temperature"),
        "only the second symbol is sharpened": ("(first.log() / temperature).softmax(0)", "first"),
        "only the first symbol is sharpened": ("(second.log() / temperature).softmax(1)", "second"),
        "softmax down the columns": (".softmax(1)", ".softmax(0)"),
        "both are the same": (_TABLE, "stepwise(first, second, temperature)"),
        "sharpened row by row": (_TABLE, "(joint / temperature).softmax(1) * first[:, None]"),
        "powers are not normalised": (_TABLE, "(joint / temperature).exp()"),
        "powers underflow": (
            f"return {_TABLE}",
            "powers = (joint / temperature).exp()\n    return powers / powers.sum()",
        ),
        "the pair is sharpened twice": ("joint / temperature", "joint / temperature**2"),
    },
}

RIGHT = {
    "cell": {
        "one step at a time": [
            ("now in e.unbind(1)", "t in range(e.shape[1])"),
            ("now @ w.T", "e[:, t] @ w.T"),
        ],
        "a number at a time": """
def lstm(e, w, u, b):
    size = u.shape[1]
    w, u, b, found = w.tolist(), u.tolist(), b.tolist(), []

    def sigmoid(t):
        return 1 / (1 + math.exp(-t))

    for row in e.tolist():
        h, c, states = [0.0] * size, [0.0] * size, []
        for now in row:
            gates = [
                b[r]
                + sum(w[r][k] * value for k, value in enumerate(now))
                + sum(u[r][k] * value for k, value in enumerate(h))
                for r in range(4 * size)
            ]
            for k in range(size):
                i, f, g, o = gates[k::size]
                c[k] = sigmoid(f) * c[k] + sigmoid(i) * math.tanh(g)
                h[k] = sigmoid(o) * math.tanh(c[k])
            states.append(list(h))
        found.append(states)
    return torch.tensor(found)
""",
        "torch's own cell": """
def lstm(e, w, u, b):
    h = c = torch.zeros(len(e), u.shape[1])
    states = torch.zeros(*e.shape[:2], u.shape[1])
    for t in range(e.shape[1]):
        rows = F.linear(e[:, t], w) + F.linear(h, u, b)
        i, f, g, o = rows.view(len(e), 4, -1).unbind(1)
        c = c * f.sigmoid() + i.sigmoid() * g.tanh()
        h = c.tanh() * o.sigmoid()
        states[:, t] = h
    return states
""",
    },
    "attention": {
        "a number at a time": """
def attention(h, q, k, v, heads):
    n, width = h.shape
    size = width // heads
    rows = range(width)
    query, key, value = (
        [[sum(float(m[r, s]) * float(h[i, s]) for s in rows) for r in rows] for i in range(n)]
        for m in (q, k, v)
    )
    mixtures = []
    for i in range(n):
        mixtures.append([])
        for start in range(0, width, size):
            own = range(start, start + size)
            scores = [
                sum(query[i][d] * key[j][d] for d in own) / size**0.5 for j in range(i + 1)
            ]
            weights = [math.exp(score - max(scores)) for score in scores]
            for d in own:
                mixed = sum(w * value[j][d] for j, w in enumerate(weights))
                mixtures[i].append(mixed / sum(weights))
    return torch.tensor(mixtures)
""",
        "a loop over the heads": """
def attention(h, q, k, v, heads):
    seen = torch.ones(len(h), len(h)).tril().bool()
    mixtures = []
    for own in torch.arange(h.shape[1]).chunk(heads):
        query, key, value = h @ q[own].T, h @ k[own].T, h @ v[own].T
        scores = query @ key.T / len(own) ** 0.5
        mixtures.append(torch.where(seen, scores, -math.inf).softmax(1) @ value)
    return torch.cat(mixtures, 1)
""",
        "a loop over the positions": """
def attention(h, q, k, v, heads):
    size = h.shape[1] // heads
    mixtures = torch.zeros(h.shape)
    for i in range(len(h)):
        past = h[: i + 1]
        for start in range(0, h.shape[1], size):
            own = slice(start, start + size)
            scores = (past @ k[own].T) @ (q[own] @ h[i]) / math.sqrt(size)
            mixtures[i, own] = scores.softmax(0) @ (past @ v[own].T)
    return mixtures
""",
    },
    "cache": {
        "from an empty memory": """
def step(query, key, value, memory):
    empty = torch.zeros(len(query), 0, query.shape[1])
    keys, values = memory or (empty, empty)
    keys, values = torch.cat([keys, key[:, None]], 1), torch.cat([values, value[:, None]], 1)
    scores = torch.einsum("nd,nkd->nk", query, keys) / math.sqrt(query.shape[1])
    return torch.einsum("nk,nkd->nd", scores.softmax(1), values), (keys, values)
""",
        "a number at a time": """
def step(query, key, value, memory):
    memory = [*(memory or []), (key.tolist(), value.tolist())]
    mixtures = []
    for n, asked in enumerate(query.tolist()):
        scores = [sum(a * b for a, b in zip(asked, keys[n])) for keys, _ in memory]
        scores = [score / len(asked) ** 0.5 for score in scores]
        weights = [math.exp(score - max(scores)) for score in scores]
        mixtures.append(
            [
                sum(w * values[n][d] for w, (_, values) in zip(weights, memory)) / sum(weights)
                for d in range(len(asked))
            ]
        )
    return torch.tensor(mixtures), memory
""",
        "newest first": [
            ("[memory[0], keys]", "[keys, memory[0]]"),
            ("[memory[1], values]", "[values, memory[1]]"),
        ],
        "a list of pairs": """
def step(query, key, value, memory):
    memory = [*(memory or []), (key, value)]
    scores = torch.stack([(query * k).sum(1) for k, _ in memory]) / query.shape[1] ** 0.5
    weights = scores.softmax(0)
    return sum(a[:, None] * v for a, (_, v) in zip(weights, memory)), memory
""",
    },
    "reach": {
        "diagonal matrices": (_JACOBIAN, "torch.diag(1 - state**2) @ u"),
        "a number at a time": """
def reach(h, u):
    size, norms = len(u), []
    product = [[float(r == s) for s in range(size)] for r in range(size)]
    for state in h.flip(0):
        norms.append(torch.linalg.matrix_norm(torch.tensor(product, dtype=h.dtype), 2))
        step = [
            [(1 - float(state[r]) ** 2) * float(u[r, s]) for s in range(size)]
            for r in range(size)
        ]
        product = [
            [sum(row[t] * step[t][s] for t in range(size)) for s in range(size)]
            for row in product
        ]
    return torch.stack(norms)
""",
        "every product from its start": """
def reach(h, u):
    norms = []
    for k in range(len(h)):
        product = torch.eye(len(u), dtype=h.dtype)
        for state in h[len(h) - k :]:
            product = (1 - state**2)[:, None] * (u @ product)
        norms.append(torch.linalg.svdvals(product)[0])
    return norms and torch.stack(norms)
""",
    },
    "temperature": {
        "with a logsumexp": [
            ("first.log()[:, None] + second.log()", "(first[:, None] * second).log()"),
            (_TABLE, "(joint / temperature - (joint / temperature).logsumexp((0, 1))).exp()"),
        ],
        "a number at a time": """
def shares(logits):
    weights = [math.exp(logit - max(logits)) for logit in logits]
    return [weight / sum(weights) for weight in weights]


def stepwise(first, second, temperature):
    start = shares([math.log(float(p)) / temperature for p in first])
    after = [shares([math.log(float(p)) / temperature for p in row]) for row in second]
    return torch.tensor([[a * b for b in row] for a, row in zip(start, after)])


def sharpened(first, second, temperature):
    logits = []
    for a in range(len(first)):
        for b in range(len(first)):
            joint = math.log(float(first[a])) + math.log(float(second[a, b]))
            logits.append(joint / temperature)
    return torch.tensor(shares(logits)).view(second.shape)
""",
        "sharpened first, then row by row": """
def stepwise(first, second, temperature):
    start = F.log_softmax(first.log() / temperature, 0)
    return (start[:, None] + F.log_softmax(second.log() / temperature, 1)).exp()


def sharpened(first, second, temperature):
    ahead = (second.log() / temperature).logsumexp(1)
    start = (first.log() / temperature + ahead).softmax(0)
    return start[:, None] * (second.log() / temperature).softmax(1)
""",
    },
}
