"""Answers to the exercises of lesson 06, written as tools/coursework/answers.py says."""

_MERGE = "transpose(0, 1).flatten(1)"
_MASKED = "scores.masked_fill(future, -math.inf)"
_JOINT = "first.log()[:, None] + second.log()"
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
        "a weight is changed in place": [
            ("    h = c", "    w.neg_()\n    h = c"),
            ("now @ w.T", "-now @ w.T"),
        ],
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
        "a large negative number on the future": ("-math.inf", "-1e4"),
        "scores are kept between bounds": (_MASKED, _MASKED.replace(".", ".clamp(-50, 50).", 1)),
        "the queries' matrix is scaled in place": [
            ("    query, key", "    q /= math.sqrt(len(q) // heads)\n    query, key"),
            (" / math.sqrt(query.shape[-1])", ""),
        ],
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
        "only the last sixty-four are remembered": (
            ", (keys, values)",
            ", (keys[:, -64:], values[:, -64:])",
        ),
        "only the last is remembered": (", (keys, values)", ", (key[:, None], value[:, None])"),
        "newest first, values last": ("[memory[0], keys]", "[keys, memory[0]]"),
        "only the first row's memory": ("* keys)", "* keys[:1])"),
        "no softmax": ("scores.softmax(1)", "(scores / scores.shape[1])"),
        "the softmax overflows": (
            "scores.softmax(1)",
            "(scores.exp() / scores.exp().sum(1, keepdim=True))",
        ),
        "scores are kept between bounds": ("scores.softmax(1)", "scores.clamp(-20, 20).softmax(1)"),
        "written into one buffer": """
def step(query, key, value, memory):
    if memory is None:
        memory = torch.zeros(2, len(query), 100, query.shape[1]), 0
    (keys, values), t = memory
    keys[:, t], values[:, t] = key, value
    scores = (query[:, None] * keys[:, : t + 1]).sum(2) / math.sqrt(query.shape[1])
    return (scores.softmax(1)[:, :, None] * values[:, : t + 1]).sum(1), (memory[0], t + 1)
""",
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
        "powers underflow, in double precision as well": """
def stepwise(first, second, temperature):
    a, b = first.double() ** (1 / temperature), second.double() ** (1 / temperature)
    return a[:, None] / a.sum() * b / b.sum(1, keepdim=True)


def sharpened(first, second, temperature):
    powers = (first.double()[:, None] * second) ** (1 / temperature)
    return powers / powers.sum()
""",
        "a little is added to p": [
            ("second.log() / temperature", "(second + 1e-8).log() / temperature"),
            ("first.log() / temperature", "(first + 1e-8).log() / temperature"),
            (_JOINT, "(first + 1e-8).log()[:, None] + (second + 1e-8).log()"),
        ],
        "never colder than a hundredth": [
            ("second.log() / temperature", "second.log() / max(temperature, 0.01)"),
            ("first.log() / temperature", "first.log() / max(temperature, 0.01)"),
            ("joint / temperature", "joint / max(temperature, 0.01)"),
        ],
        "the likeliest when it is cold": [
            (
                "second.log() / temperature",
                "second.log() / temperature ** (1 + (temperature < 0.1))",
            ),
            ("first.log() / temperature", "first.log() / temperature ** (1 + (temperature < 0.1))"),
            ("joint / temperature", "joint / temperature ** (1 + (temperature < 0.1))"),
        ],
        "the pair is sharpened twice": ("joint / temperature", "joint / temperature**2"),
    },
    "train": {
        "reads the symbol that it predicts": (
            "F.pad(x.long(), (1, 0), value=64)[:, :-1]",
            "x.long()",
        ),
        "logits for probabilities": ("logits(x).softmax(-1)", "logits(x)"),
        "softmax over the places": (".softmax(-1)", ".softmax(1)"),
        "nats for bits": (
            "step % 10 == 0 and bits(predict, valid[:200]) < goal",
            "step % 10 == 0 and loss < goal",
        ),
        "a fixed number of steps": (
            "step % 10 == 0 and bits(predict, valid[:200]) < goal",
            "step == 120",
        ),
        "stops by the training rows": ("bits(predict, valid", "bits(predict, train"),
        "learns from the validation rows": (
            "train[torch.randint(len(train), (16,))]",
            "valid[torch.randint(len(valid), (16,))]",
        ),
        "stops at the first look": ("bits(predict, valid[:200]) < goal", "step > 0"),
        "only the function is returned": ("return predict, step", "return predict"),
        "reads from right to left": (
            "embedding(read))[0]",
            "embedding(read).flip(1))[0].flip(1)",
        ),
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
        "in NumPy": """
import numpy as np


def step(query, key, value, memory):
    query, key, value = (np.asarray(part, dtype=float) for part in (query, key, value))
    keys, values = key[:, None], value[:, None]
    if memory is not None:
        keys = np.concatenate([memory[0], keys], 1)
        values = np.concatenate([memory[1], values], 1)
    scores = np.einsum("nd,nkd->nk", query, keys) / np.sqrt(query.shape[1])
    weights = np.exp(scores - scores.max(1, keepdims=True))
    weights = weights / weights.sum(1, keepdims=True)
    return np.einsum("nk,nkd->nd", weights, values), (keys, values)
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
    "temperature": {
        "with a logsumexp": [
            (_JOINT, "(first[:, None] * second).log()"),
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
    "train": {
        "genlib's LSTM": """
def trained(train, valid, goal):
    model = gl.LSTM(32, 64, hidden=64)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    steps = 0

    def predict(x):
        return model.conditionals(x).softmax(2).detach().double()

    while bits(predict, valid) >= goal:
        for _ in range(10):
            optimiser.zero_grad()
            model.loss(train[torch.randint(len(train), (16,))]).backward()
            optimiser.step()
            steps += 1
    return predict, steps
""",
        "a gated recurrent unit, a NumPy array returned": [
            ("nn.LSTM(32", "nn.GRU(32"),
            ("logits(x).softmax(-1)", "logits(x).softmax(-1).numpy()"),
        ],
        "only the last four symbols are read": """
def trained(train, valid, goal):
    network = nn.Sequential(nn.Flatten(2), nn.Linear(4 * 65, 64), nn.Tanh(), nn.Linear(64, 64))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)

    def logits(x):
        read = F.one_hot(F.pad(x.long(), (4, 0), value=64), 65).float()
        return network(read.unfold(1, 4, 1)[:, :-1])

    def predict(x):
        return logits(x).softmax(2).detach()

    steps = 0
    while steps % 20 or bits(predict, valid[:200]) >= goal:
        batch = train[torch.randint(len(train), (32,))]
        optimiser.zero_grad()
        F.cross_entropy(logits(batch).flatten(0, 1), batch.long().flatten()).backward()
        optimiser.step()
        steps += 1
    return [predict, steps]
""",
    },
}
