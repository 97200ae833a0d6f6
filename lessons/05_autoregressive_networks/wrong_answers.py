"""Answers to the exercises of lesson 05, written as tools/coursework/answers.py says."""

_PREDICT = "            found[i] = a.sigmoid() @ v[i] + b[i]\n"
_UPDATE = "            a = a + x[:, i, None] * w[i]\n"
_COST = """total = F.binary_cross_entropy_with_logits(
            logits(x), x, reduction="sum")"""
_PLACES = ("i in order", "t, i in enumerate(order)")
_DEGREES = "torch.arange(units) % (n - 1) + 1"
_WEIGHT = "log_weight = log_weight + F.logsigmoid(towards)"
_WEIGH_DRAWS = (
    ".to(drawn)",
    ".to(drawn)\n            log_weight = log_weight + F.logsigmoid(logit * (2 * drawn[:, i] - 1))",
)
_SIZE = "1 / (weights**2).sum()"

WRONG = {
    "learn": {
        "a pixel sees itself": (_PREDICT + _UPDATE, _UPDATE + _PREDICT),
        "the order is ignored": ("in order", "in range(n)"),
        "the inverse of the order": ("in order", "in torch.tensor(order).argsort().tolist()"),
        "logits by place, not by column": [
            ("[None] * n", "[]"),
            ("found[i] = a.sigmoid() @ v[i] + b[i]", "found.append(a.sigmoid() @ v[i] + b[i])"),
        ],
        "no nonlinearity": ("a.sigmoid()", "a"),
        "only the last pixel is remembered": ("a = a +", "a = c +"),
        "stopped after one epoch": ("range(60)", "range(1)"),
        "nats per pixel, not per picture": ("total / len(x)", "total / x.numel()"),
        "zeros do not count": (_COST, "total = -(x * F.logsigmoid(logits(x))).sum()"),
        "probabilities, not logits": (
            "    return logits\n",
            "    return lambda x: logits(x).sigmoid()\n",
        ),
        "an autoencoder": """
def train(x, valid, order):
    network = torch.nn.Sequential(
        torch.nn.Linear(12, 60), torch.nn.ReLU(), torch.nn.Linear(60, 12))
    adam = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(200):
        adam.zero_grad()
        F.binary_cross_entropy_with_logits(network(x), x).backward()
        adam.step()
    return network
""",
        "tables of all that came before, by counting": """
def train(x, valid, order):
    def state(rows, past):
        return (rows[:, past].long() * 2 ** torch.arange(len(past))).sum(1)

    def logits(rows):
        found = [None] * len(order)
        for t, i in enumerate(order):
            seen, size = state(x, order[:t]), 2**t
            ones = torch.bincount(seen, x[:, i], minlength=size) + 0.3
            zeros = torch.bincount(seen, 1 - x[:, i], minlength=size) + 0.3
            found[i] = (ones / zeros).log()[state(rows, order[:t])]
        return torch.stack(found, 1)

    return logits
""",
        "learned from the validation rows": (
            "x[torch.randperm(len(x))]",
            "valid[torch.randperm(len(valid))]",
        ),
        "the library's model": """
def train(x, valid, order):
    model = gl.NADE(12, hidden=40, order=order)
    model.fit(x, valid=valid, epochs=20, lr=0.1, batch_size=100)
    return model.conditionals
""",
    },
    "masks": {
        "rows from the top whatever the order": (".argsort()", ".sort().values"),
        "the order for its inverse": (".argsort()", ""),
        "the last mask is not strict": ("degrees[-1] <", "degrees[-1] <="),
        "every mask is strict": ("into <=", "into <"),
        "rows and columns exchanged": ("into <= out[:, None]", "into[:, None] <= out"),
        "inequality turned round": ("into <=", "into >="),
        "not every degree": (_DEGREES, "torch.linspace(1, n - 1, units).long().clamp(max=n - 2)"),
        "one degree for all": (_DEGREES, "torch.full((units,), max(1, (n - 1) // 2))"),
        "degrees at random": (_DEGREES, "torch.randint(1, n, (units,))"),
        "the mask of a fifth hidden layer shuts": (
            "return [*inner,",
            "inner[4:] = [mask & False for mask in inner[4:]]\n    return [*inner,",
        ),
        "degrees from zero": (_DEGREES, "torch.arange(units) % (n - 1)"),
        "triangles by unit number": [
            ("into <= out[:, None]", "torch.ones(len(out), len(into)).tril()"),
            ("degrees[-1] < place[:, None]", "torch.ones(n, len(degrees[-1])).tril(-1)"),
        ],
    },
    "sample": {
        "as it was given": "sample = faulty_sample",
        "the order is not mended": ("in order", "in range(len(order))"),
        "what was drawn is not seen": ("logits(x)", "logits(torch.zeros_like(x))"),
        "the likelier value": ("u[:, i] <", "0.5 <"),
        "one where u is above p": ("u[:, i] <", "u[:, i] >"),
        "fresh noise": ("u[:, i] <", "torch.rand(len(u)) <"),
        "one uniform number a picture": ("u[:, i]", "u[:, 0]"),
        "what is nearly certain is certain": [
            (
                "    for",
                "    def sharp(p):\n        return p + 1.0 * (p > 0.999) - 1.0 * (p < 0.001)\n\n    for",
            ),
            ("logits(x)[:, i].sigmoid()", "sharp(logits(x)[:, i].sigmoid())"),
        ],
        "nothing is nearly certain": (".sigmoid()", ".sigmoid().clamp(1e-3, 1 - 1e-3)"),
        "uniform numbers by place": [_PLACES, ("u[:, i]", "u[:, t]")],
        "probabilities are passed on, not draws": [
            ("    for", "    seen = x.clone()\n    for"),
            ("x[:, i] = ", "seen[:, i] = logits(seen)[:, i].sigmoid()\n        x[:, i] = "),
            ("logits(x)[:, i].sigmoid()", "seen[:, i]"),
        ],
        "the order backwards": ("in order", "in list(order)[::-1]"),
        "all columns at once": """
def sample(logits, order, u):
    return (u < logits(torch.zeros_like(u)).sigmoid()).float()
""",
    },
    "completions": {
        "all pixels weigh": _WEIGH_DRAWS,
        "the unknown pixels weigh": [(_WEIGHT, "pass"), _WEIGH_DRAWS],
        "no weights": (_WEIGHT, "pass"),
        "the known pixels are drawn as well": ("        else:\n            drawn", "        drawn"),
        "the probability of a one": ("logit if x[i] == 1 else -logit", "logit"),
        "logarithms are added as they are": ("F.logsigmoid(", "F.sigmoid("),
        "weights do not sum to one": ("return drawn, weights", "return drawn, log_weight.exp()"),
        "weights underflow": ("log_weight.softmax(0)", "log_weight.exp() / log_weight.exp().sum()"),
        "products of probabilities, in double precision": [
            ("torch.zeros(len(u))", "torch.ones(len(u)).double()"),
            (_WEIGHT, "log_weight = log_weight * towards.double().sigmoid()"),
            ("log_weight.softmax(0)", "log_weight / log_weight.sum()"),
        ],
        "a little is added to p": (
            _WEIGHT,
            "log_weight = log_weight + (towards.sigmoid() + 1e-8).log()",
        ),
        "logarithms of one minus p": (
            f"towards = logit if x[i] == 1 else -logit\n            {_WEIGHT}",
            "p = logit.sigmoid()\n            "
            "log_weight = log_weight + (p if x[i] == 1 else 1 - p).log()",
        ),
        "no draw is nearly certain": ("logit.sigmoid()", "logit.sigmoid().clamp(0.01, 0.99)"),
        "logarithms are normalised": ("log_weight.softmax(0)", "log_weight / log_weight.sum()"),
        "the likelier value": ("u[:, i] <", "0.5 <"),
        "known pixels are met before the unknown": (
            "in order",
            "in sorted(order, key=lambda i: not known[i])",
        ),
        "the order is ignored": ("in order", "in range(len(order))"),
        "some pixel must be known": [
            ("torch.zeros(len(u))", "[]"),
            (_WEIGHT, "log_weight.append(F.logsigmoid(towards))"),
            ("log_weight.softmax(0)", "torch.stack(log_weight).sum(0).softmax(0)"),
        ],
        "all draws count": (_SIZE, "torch.tensor(float(len(u)))"),
        "the largest weight": (_SIZE, "1 / weights.max()"),
        "the sum is not squared": (_SIZE, "weights.sum() / (len(u) * weights**2).sum()"),
    },
}

RIGHT = {
    "learn": {
        "in double precision, smaller steps, NumPy out": [
            ("0.5 * torch.randn(2, n, d)", "0.5 * torch.randn(2, n, d, dtype=torch.float64)"),
            ("torch.zeros(n), torch.zeros(d)", "torch.zeros(n).double(), torch.zeros(d).double()"),
            ("            a = a + x", "            a = a + x.double()"),
            ("logits(x), x,", "logits(x), x.double(),"),
            ("lr=0.1", "lr=0.05"),
            ("    return logits\n", "    return lambda x: logits(x).numpy()\n"),
        ],
        "a masked network": """
def train(x, valid, order):
    place = torch.tensor(order).argsort()
    degree = torch.arange(88) % 11
    into, out = degree[:, None] >= place, place[:, None] > degree
    first, second = torch.nn.Linear(12, 88), torch.nn.Linear(88, 12)

    def logits(x):
        h = F.linear(x, first.weight * into, first.bias).relu()
        return F.linear(h, second.weight * out, second.bias)

    def cost(x):
        return F.binary_cross_entropy_with_logits(logits(x), x) * 12

    adam = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.02)
    for _ in range(200):
        for rows in x[torch.randperm(1000)].split(100):
            adam.zero_grad()
            cost(rows).backward()
            adam.step()
        if cost(valid) < 6.69:
            return logits
    return logits
""",
        "a small network for each pixel": """
class Pixels(torch.nn.Module):
    def __init__(self, order):
        super().__init__()
        self.order = order
        self.networks = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Linear(t, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
            for t in range(1, len(order)))
        self.start = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        found = [self.start.expand(len(x))] * len(self.order)
        for t, network in enumerate(self.networks, 1):
            found[self.order[t]] = network(x[:, self.order[:t]])[:, 0]
        return torch.stack(found, 1)


def train(x, valid, order):
    model = Pixels(order)
    adam = torch.optim.Adam(model.parameters(), lr=0.03)
    cost = torch.nn.BCEWithLogitsLoss()
    while 12 * cost(model(valid), valid).item() > 6.7:
        for rows in x.split(100):
            adam.zero_grad()
            cost(model(rows), rows).backward()
            adam.step()
    return model
""",
    },
    "masks": {
        "tensors of floats": [
            ("into <= out[:, None]", "(into <= out[:, None]).float()"),
            ("degrees[-1] < place[:, None]", "(degrees[-1] < place[:, None]).float()"),
        ],
        "no more connections than needed": ("into <=", "into =="),
        "evenly spread degrees": (_DEGREES, "torch.linspace(1, n - 1, units).round()"),
        "a loop over the units": """
def masks(order, hidden):
    place = {column: t for t, column in enumerate(order)}
    into, found = [place[column] for column in range(len(order))], []
    for units in hidden:
        out = [k * (len(order) - 1) // units for k in range(units)]
        found.append(torch.tensor([[int(i <= o) for i in into] for o in out]))
        into = out
    last = [[int(i < place[column]) for i in into] for column in range(len(order))]
    return [*found, torch.tensor(last)]
""",
    },
    "sample": {
        "zeros in single precision": ("torch.zeros_like(u)", "torch.zeros(u.shape)"),
        "noise in the columns to come": ("torch.zeros_like(u)", "(u < 0.5).float()"),
        "a picture at a time": """
def sample(logits, order, u):
    pictures = []
    for noise in u:
        x = torch.zeros(len(noise))
        for i in order:
            p = 1 / (1 + math.exp(-float(logits(x[None])[0, i])))
            x[i] = float(noise[i] < p)
        pictures.append(x)
    return torch.stack(pictures)
""",
        "in logits": """
def sample(logits, order, u):
    columns = [torch.zeros(len(u)) for _ in order]
    for i in order:
        columns[i] = (u[:, i].logit() < logits(torch.stack(columns, 1))[:, i]).float()
    return torch.stack(columns, 1)
""",
    },
    "completions": {
        "the weights by logsumexp": [
            ("log_weight.softmax(0)", "(log_weight - log_weight.logsumexp(0)).exp()"),
            (_SIZE, "weights.sum() ** 2 / (weights**2).sum()"),
        ],
        "a draw at a time": """
def completions(logits, order, x, known, u):
    drawn, log_weights = [], []
    for noise in u:
        picture, log_weight = x.clone(), 0.0
        for i in order:
            logit = float(logits(picture[None])[0, i])
            if known[i]:
                log_weight -= math.log1p(math.exp(-logit if x[i] == 1 else logit))
            else:
                picture[i] = float(noise[i] < 1 / (1 + math.exp(-logit)))
        drawn.append(picture)
        log_weights.append(log_weight)
    weights = [math.exp(each - max(log_weights)) for each in log_weights]
    weights = [weight / sum(weights) for weight in weights]
    return torch.stack(drawn), weights, 1 / sum(weight**2 for weight in weights)
""",
        "weights afterwards, in double precision": """
def completions(logits, order, x, known, u):
    drawn = x.repeat(len(u), 1)
    for i in order:
        if not known[i]:
            drawn[:, i] = (u[:, i] < logits(drawn)[:, i].sigmoid()).float()
    found = logits(drawn).double()
    terms = torch.where(x == 1, F.logsigmoid(found), F.logsigmoid(-found))
    weights = terms[:, known].sum(1).softmax(0)
    return drawn, weights, weights.square().sum().reciprocal()
""",
    },
}
