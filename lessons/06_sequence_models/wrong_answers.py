"""Answers to the exercises of lesson 06 that graders must tell apart.

``WRONG`` holds what students really write, each under the misconception behind it, and ``RIGHT``
what is right though written otherwise than in the notebook. Each replaces the whole solution cell
of its exercise.
"""

_CELL = """
def lstm(e, w, u, b):
    h = c = torch.zeros(len(e), u.shape[1])
    states = []
    for t in range(e.shape[1]):
        {gates} = (e[:, t] @ w.T + {recurrent} + b).chunk(4, dim=1)
        c = {c}
        h = {h}
        states.append({kept})
    return torch.stack(states, {axis})
"""
_CELL_PARTS = {
    "gates": "i, f, g, o",
    "recurrent": "h @ u.T",
    "c": "torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)",
    "h": "torch.sigmoid(o) * torch.tanh(c)",
    "kept": "h",
    "axis": "1",
}

_ATTENTION = """
def attention(h, q, k, v, heads):
    n, size = len(h), h.shape[1] // heads
    seen = {seen}
    mixtures = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        query, key, value = {made}
        scores = {scores}
        {weights}
        mixtures.append({mixture})
    return {joined}
"""
_ATTENTION_PARTS = {
    "seen": "torch.ones(n, n).tril().bool()",
    "made": "h @ q.T[:, part], h @ k.T[:, part], h @ v.T[:, part]",
    "scores": "query @ key.T / size**0.5",
    "weights": "weights = torch.where(seen, scores, -math.inf).softmax(1)",
    "mixture": "weights @ value",
    "joined": "torch.cat(mixtures, 1)",
}

_CACHE = """
def step(query, key, value, memory):
    if memory is None:
        empty = torch.zeros(len(query), 0, query.shape[1])
        memory = (empty, empty)
    keys = torch.cat({keys}, 1)
    values = torch.cat({values}, 1)
    scores = torch.einsum("nd,nkd->nk", query, {compared}) / {scale}
    mixture = torch.einsum("nk,nkd->nd", {weights}, {mixed})
    return mixture, {memory}
"""
_CACHE_PARTS = {
    "keys": "[memory[0], key[:, None]]",
    "values": "[memory[1], value[:, None]]",
    "compared": "keys",
    "scale": "math.sqrt(query.shape[1])",
    "weights": "scores.softmax(1)",
    "mixed": "values",
    "memory": "(keys, values)",
}

_REACH = """
def reach(h, u):
    product, norms = torch.eye(len(u), dtype=h.dtype), {start}
    for i in {places}:
        jacobian = {jacobian}
        product = {product}
        norms.append({norm})
    return torch.stack(norms)
"""
_REACH_PARTS = {
    "start": "[torch.tensor(1.0, dtype=h.dtype)]",
    "places": "range(len(h) - 1, 0, -1)",
    "jacobian": "torch.diag(1 - h[i] ** 2) @ u",
    "product": "product @ jacobian",
    "norm": "torch.linalg.matrix_norm(product, 2)",
}

_TEMPERATURE = """
def stepwise(first, second, temperature):
    start = {start}
    after = {after}
    return start[:, None] * after


def sharpened(first, second, temperature):
    logits = {logits}
    return {table}
"""
_TEMPERATURE_PARTS = {
    "start": "(first.log() / temperature).softmax(0)",
    "after": "(second.log() / temperature).softmax(1)",
    "logits": "(first[:, None] * second).log() / temperature",
    "table": "(logits - logits.flatten().logsumexp(0)).exp()",
}


def _cell(**changed):
    return _CELL.format(**_CELL_PARTS | changed)


def _attention(**changed):
    return _ATTENTION.format(**_ATTENTION_PARTS | changed)


def _cache(**changed):
    return _CACHE.format(**_CACHE_PARTS | changed)


def _reach(**changed):
    return _REACH.format(**_REACH_PARTS | changed)


def _temperature(**changed):
    return _TEMPERATURE.format(**_TEMPERATURE_PARTS | changed)


WRONG = {
    "cell": {
        "input and forget gates exchanged": _cell(gates="f, i, g, o"),
        "output gate before the candidate": _cell(gates="i, f, o, g"),
        "the candidate is a gate": _cell(
            c="torch.sigmoid(f) * c + torch.sigmoid(i) * torch.sigmoid(g)"
        ),
        "the old state is not kept": _cell(c="torch.sigmoid(i) * torch.tanh(g)"),
        "nothing is ever forgotten": _cell(c="c + torch.sigmoid(i) * torch.tanh(g)"),
        "what is not let in is kept": _cell(
            c="(1 - torch.sigmoid(i)) * c + torch.sigmoid(i) * torch.tanh(g)"
        ),
        "c is shown as it is": _cell(h="torch.sigmoid(o) * c"),
        "everything is shown": _cell(h="torch.tanh(c)"),
        "c goes back in place of h": _cell(recurrent="c @ u.T"),
        "no recurrence": _cell(recurrent="0"),
        "u is not transposed": _cell(recurrent="h @ u.reshape(-1, 4 * h.shape[1])"),
        "c is returned": _cell(kept="c"),
        "time comes first": _cell(axis="0"),
    },
    "attention": {
        "no mask": _attention(seen="torch.ones(n, n).bool()"),
        "a position does not see itself": _attention(
            seen="torch.ones(n, n).tril(-1).bool() | torch.eye(n).bool() * (torch.arange(n) == 0)"
        ),
        "the past is masked": _attention(seen="torch.ones(n, n).triu().bool()"),
        "past queries meet the new key": _attention(scores="key @ query.T / size**0.5"),
        "queries are merged": _attention(mixture="weights @ query"),
        "keys are merged": _attention(mixture="weights @ key"),
        "masked after the softmax": _attention(weights="weights = scores.softmax(1) * seen"),
        "the future scores zero": _attention(weights="weights = (scores * seen).softmax(1)"),
        "softmax over those who ask": _attention(
            weights="weights = torch.where(seen, scores, -math.inf).softmax(0)"
        ),
        "no scaling": _attention(scores="query @ key.T"),
        "scaled by the size": _attention(scores="query @ key.T / size"),
        "scaled by the whole width": _attention(scores="query @ key.T / h.shape[1] ** 0.5"),
        "vectors times matrices": _attention(made="h @ q[:, part], h @ k[:, part], h @ v[:, part]"),
        "heads are added up": _attention(joined="sum(mixtures).repeat(1, heads)"),
        "heads are interleaved": _attention(joined="torch.stack(mixtures, 2).flatten(1)"),
        "only the best is looked at": _attention(
            weights="weights = F.one_hot(scores.masked_fill(~seen, -math.inf).argmax(1), n).float()"
        ),
    },
    "cache": {
        "queries are kept": _cache(memory="(torch.cat([memory[0], query[:, None]], 1), values)"),
        "the new position is left out": _cache(
            compared="(keys if keys.shape[1] == 1 else keys[:, :-1])",
            mixed="(values if values.shape[1] == 1 else values[:, :-1])",
        ),
        "scaled by the length": _cache(scale="math.sqrt(keys.shape[1])"),
        "no scaling": _cache(scale="1"),
        "keys are mixed": _cache(mixed="keys"),
        "values are kept as keys": _cache(memory="(values, values)"),
        "only the last is remembered": _cache(memory="(key[:, None], value[:, None])"),
        "newest first, values last": _cache(keys="[key[:, None], memory[0]]"),
        "only the first row's memory": _cache(compared="keys[:1].expand_as(keys)"),
        "no softmax": _cache(weights="scores / scores.shape[1]"),
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
        "powers of U": _reach(jacobian="u"),
        "the tanh of a tanh": _reach(jacobian="torch.diag(1 - torch.tanh(h[i]) ** 2) @ u"),
        "1 − h": _reach(jacobian="torch.diag(1 - h[i]) @ u"),
        "the derivative on the other side": _reach(jacobian="u @ torch.diag(1 - h[i] ** 2)"),
        "multiplied in the wrong order": _reach(product="jacobian @ product"),
        "one state too early": _reach(jacobian="torch.diag(1 - h[i - 1] ** 2) @ u"),
        "forwards in time": _reach(places="range(1, len(h))"),
        "each step by itself": _reach(product="jacobian"),
        "the Frobenius norm": _reach(norm="product.norm()"),
        "the bound": _reach(
            jacobian="torch.linalg.matrix_norm(torch.diag(1 - h[i] ** 2) @ u, 2)",
            product="product * jacobian",
        ),
        "the identity is left out": _reach(start="[]", places="range(len(h) - 1, -1, -1)"),
        "the spectral radius": _reach(norm="torch.linalg.eigvals(product).abs().max()"),
    },
    "temperature": {
        "the temperature is a factor": _temperature(
            start="(first.log() * temperature).softmax(0)",
            after="(second.log() * temperature).softmax(1)",
        ),
        "probabilities for logits": _temperature(start="(first / temperature).softmax(0)"),
        "only the second symbol is sharpened": _temperature(start="first"),
        "only the first symbol is sharpened": _temperature(after="second"),
        "softmax down the columns": _temperature(after="(second.log() / temperature).softmax(0)"),
        "both are the same": _temperature(
            logits="(first.log() / temperature).log_softmax(0)[:, None]"
            " + (second.log() / temperature).log_softmax(1)"
        ),
        "sharpened row by row": _temperature(table="logits.softmax(1) * first[:, None]"),
        "powers are not normalised": _temperature(table="logits.exp()"),
        "powers underflow": _temperature(table="logits.exp() / logits.exp().sum()"),
        "the pair is sharpened twice": _temperature(
            logits="(first[:, None] * second).log() / temperature**2"
        ),
    },
}

RIGHT = {
    "cell": {
        "one step at a time": _cell(),
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
        "a loop over the heads": _attention(),
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
        "from an empty memory": _cache(),
        "newest first": _cache(
            keys="[key[:, None], memory[0]]", values="[value[:, None], memory[1]]"
        ),
        "a list of pairs": """
def step(query, key, value, memory):
    memory = [*(memory or []), (key, value)]
    scores = torch.stack([(query * k).sum(1) for k, _ in memory]) / query.shape[1] ** 0.5
    weights = scores.softmax(0)
    return sum(a[:, None] * v for a, (_, v) in zip(weights, memory)), memory
""",
    },
    "reach": {
        "diagonal matrices": _reach(),
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
        "with a logsumexp": _temperature(),
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
