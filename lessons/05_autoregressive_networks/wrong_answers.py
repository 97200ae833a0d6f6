"""Answers to the exercises of lesson 05, written as tools/coursework/answers.py says."""

_LOG_P = "F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))"
_CUT = "logit.clamp(-200, 200), (-logit).clamp(-200, 200)"
_UPDATE = "        a = a + x[:, i, None] * w[i]\n"
_PLACES = ("i in order", "t, i in enumerate(order)")
_WAY_OUT = ("v[i] + b[i]", "v[t] + b[t]")
_DEGREES = "torch.arange(units) % (n - 1) + 1"
_ENSEMBLE = "torch.logsumexp(log_each, 0) - math.log(len(log_each))"
_JOINT = "logits.log_softmax(1) + log_normal"
_MIXTURE = f"torch.logsumexp({_JOINT}, 1)"
_WEIGHT = "log_weight = log_weight + F.logsigmoid(towards)"
_WEIGH_DRAWS = (
    ".to(drawn)",
    ".to(drawn)\n            log_weight = log_weight + F.logsigmoid(logit * (2 * drawn[:, i] - 1))",
)
_SIZE = "1 / (weights**2).sum()"

WRONG = {
    "running": {
        "a pixel sees itself": [(_UPDATE, ""), ("        logit = ", f"{_UPDATE}        logit = ")],
        "the order is ignored": ("in order", "in range(len(order))"),
        "the inverse of the order": ("in order", "in torch.as_tensor(order).argsort().tolist()"),
        "weights by place, pixels by column": [_PLACES, _WAY_OUT, ("w[i]", "w[t]")],
        "the way out by place": [_PLACES, _WAY_OUT],
        "zeros do not count": (_LOG_P, "x[:, i] * F.logsigmoid(logit)"),
        "one and zero exchanged": ("== 1", "== 0"),
        "the bias at every step": ("w[i]", "w[i] + c"),
        "no nonlinearity": ("a.sigmoid()", "a"),
        "only the last pixel is remembered": ("a = a +", "a = c +"),
        "the logarithm of a rounded probability": (
            _LOG_P,
            "(torch.where(x[:, i] == 1, logit.sigmoid(), 1 - logit.sigmoid()) + 1e-12).log()",
        ),
        "logits are cut off": (_LOG_P, _LOG_P.replace("logit, -logit", _CUT)),
        "probabilities, not logarithms": ("return total", "return total.exp()"),
        "the mean over pixels": ("return total", "return total / len(order)"),
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
    "mixtures": {
        "the mean of the logarithms": (_ENSEMBLE, "log_each.mean(0)"),
        "the sum over the orders": (" - math.log(len(log_each))", ""),
        "the best order": (_ENSEMBLE, "log_each.max(0).values"),
        "densities underflow": (_ENSEMBLE, "(log_each.exp().mean(0) + 1e-38).log()"),
        "divided by the number of pictures": ("len(log_each)", "log_each.shape[1]"),
        "logits are shares": ("logits.log_softmax(1)", "logits"),
        "the likeliest component alone": (_MIXTURE, f"({_JOINT}).max(1).values"),
        "the softmax over the pictures": ("log_softmax(1)", "log_softmax(0)"),
        "the scale is a variance": ("    z = ", "    log_scale = log_scale / 2\n    z = "),
        "the width is forgotten": (" - log_scale", ""),
        "logarithms are averaged": (_MIXTURE, "(logits.softmax(1) * log_normal).sum(1)"),
        "a single bell with the mixture's mean": (
            f"return {_MIXTURE}",
            "share = logits.softmax(1)\n"
            "    mean, sigma = (share * mean).sum(1), (share * log_scale.exp()).sum(1)\n"
            "    return torch.distributions.Normal(mean, sigma).log_prob(x)",
        ),
        "far away it underflows": (_MIXTURE, f"(({_JOINT}).exp().sum(1) + 1e-38).log()"),
        "a rounded weight, then its logarithm": (
            "logits.log_softmax(1)",
            "logits.softmax(1).log()",
        ),
        "a softmax by hand": (
            "logits.log_softmax(1)",
            "(logits.double().exp() / logits.double().exp().sum(1, keepdim=True)).log()",
        ),
        "z is cut off": ("-0.5 * z**2", "-0.5 * z.clamp(-200, 200) ** 2"),
        "products of shares and logarithms of densities": ("+ log_normal", "* log_normal"),
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
    "running": {
        "softplus, and an outer product": [
            (f"+ {_LOG_P}", "- F.softplus(logit * (1 - 2 * x[:, i]))"),
            ("x[:, i, None] * w[i]", "torch.outer(x[:, i], w[i])"),
        ],
        "a number at a time, each sum from its start": """
def nade_log_prob(x, w, c, v, b, order):
    totals = []
    for row in x:
        total = 0.0
        for place, i in enumerate(order):
            logit = float(b[i])
            for k in range(w.shape[1]):
                a = float(c[k]) + sum(float(row[j]) * float(w[j, k]) for j in order[:place])
                logit += float(v[i, k]) / (1 + math.exp(-a))
            total -= math.log1p(math.exp(-logit if row[i] == 1 else logit))
        totals.append(total)
    return torch.tensor(totals)
""",
        "all running sums at once": """
def nade_log_prob(x, w, c, v, b, order):
    ordered = x[:, order].double()
    steps = ordered[:, :, None] * w[order].double()
    a = c.double() + steps.cumsum(1) - steps
    logits = (a.sigmoid() * v[order].double()).sum(2) + b[order].double()
    return -F.binary_cross_entropy_with_logits(logits, ordered, reduction="none").sum(1)
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
    "mixtures": {
        "torch's normal density": [
            (_ENSEMBLE, "torch.logsumexp(log_each - math.log(len(log_each)), 0)"),
            (
                "-0.5 * z**2 - log_scale - 0.5 * math.log(2 * math.pi)",
                "torch.distributions.Normal(mean, log_scale.exp()).log_prob(x[:, None])",
            ),
            ("logits.log_softmax(1)", "logits - logits.logsumexp(1, keepdim=True)"),
        ],
        "a number at a time": """
def log_sum(terms):
    largest = max(terms)
    return largest + math.log(sum(math.exp(term - largest) for term in terms))


def ensemble(log_each):
    each = [log_sum([float(value) for value in column]) for column in log_each.T]
    return [value - math.log(len(log_each)) for value in each]


def conditional(x, logits, mean, log_scale):
    found = []
    for n in range(len(x)):
        total, terms = log_sum([float(logit) for logit in logits[n]]), []
        for k in range(mean.shape[1]):
            scale = float(log_scale[n, k])
            z = (float(x[n]) - float(mean[n, k])) / math.exp(scale)
            log_normal = -z * z / 2 - scale - math.log(2 * math.pi) / 2
            terms.append(float(logits[n, k]) - total + log_normal)
        found.append(log_sum(terms))
    return found
""",
        "a row at a time": [
            (
                "    z = ",
                "    found = []\n"
                "    for value, *row in zip(x, logits, mean, log_scale):\n"
                "        found.append(at_one(value, *row))\n"
                "    return torch.stack(found)\n\n\n"
                "def at_one(x, logits, mean, log_scale):\n"
                "    z = ",
            ),
            ("x[:, None] - mean", "x - mean"),
            (_MIXTURE, "torch.logsumexp(logits.log_softmax(0) + log_normal, 0)"),
        ],
        "torch's mixture": """
def ensemble(log_each):
    largest = log_each.max(0).values
    return largest + (log_each - largest).exp().mean(0).log()


def conditional(x, logits, mean, log_scale):
    pieces = torch.distributions.Normal(mean, log_scale.exp())
    shares = torch.distributions.Categorical(logits=logits)
    return torch.distributions.MixtureSameFamily(shares, pieces).log_prob(x)
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
