"""Answers to the exercises of lesson 05 that graders must tell apart.

``WRONG`` holds what students really write, each under the misconception behind it, and ``RIGHT``
what is right though written otherwise than in the notebook. Each replaces the whole solution cell
of its exercise.
"""

_RUNNING = """
def nade_log_prob(x, w, c, v, b, order):
    a, total = c.expand(len(x), -1), torch.zeros(len(x))
    for t, i in {loop}:
        {before}
        logit = {logit}
        {count}
        {after}
    return {answer}
"""
_RUNNING_PARTS = {
    "loop": "enumerate(order)",
    "before": "pass",
    "logit": "a.sigmoid() @ v[i] + b[i]",
    "count": "total = total - F.softplus(logit * (1 - 2 * x[:, i]))",
    "after": "a = a + torch.outer(x[:, i], w[i])",
    "answer": "total",
}

_MASKS = """
def masks(order, hidden):
    n = len(order)
    place = {place}
    degrees = [place] + [{degrees} for units in hidden]
    found = [{inner} for into, out in zip(degrees[:-1], degrees[1:])]
    return found + [{last}]
"""
_MASKS_PARTS = {
    "place": "torch.as_tensor(order).argsort() + 1",
    "degrees": "torch.arange(units) % (n - 1) + 1",
    "inner": "(out[:, None] >= into[None]).float()",
    "last": "(place[:, None] > degrees[-1][None]).float()",
}

_SAMPLE = """
def sample(logits, order, u):
    {start}
    for i in {loop}:
        p = {p}
        x[:, i] = ({draw}).float()
        {after}
    return x
"""
_SAMPLE_PARTS = {
    "start": "x = torch.zeros(u.shape)",
    "loop": "order",
    "p": "logits(x)[:, i].sigmoid()",
    "draw": "u[:, i] < p",
    "after": "pass",
}

_MIXTURES = """
def ensemble(log_each):
    return {ensemble}


def conditional(x, logits, mean, log_scale):
    share = {share}
    sigma = {sigma}
    log_normal = {log_normal}
    return {conditional}
"""
_MIXTURES_PARTS = {
    "ensemble": "torch.logsumexp(log_each - math.log(log_each.shape[0]), 0)",
    "share": "logits - torch.logsumexp(logits, 1, keepdim=True)",
    "sigma": "log_scale.exp()",
    "log_normal": "torch.distributions.Normal(mean, sigma).log_prob(x[:, None])",
    "conditional": "torch.logsumexp(share + log_normal, 1)",
}

_COMPLETIONS = """
def completions(logits, order, x, known, u):
    drawn = x.expand(len(u), -1).clone()
    log_weight = torch.zeros(len(u))
    for i in {loop}:
        p = logits(drawn)[:, i].sigmoid()
        log_p = F.logsigmoid(logits(drawn)[:, i] * {sign})
        if known[i]:
            {known}
        else:
            {unknown}
    weights = {weights}
    return drawn, weights, {ess}
"""
_COMPLETIONS_PARTS = {
    "loop": "order",
    "sign": "(2 * x[i] - 1)",
    "known": "log_weight = log_weight + log_p",
    "unknown": "drawn[:, i] = torch.where(u[:, i] < p, 1.0, 0.0)",
    "weights": "(log_weight - log_weight.logsumexp(0)).exp()",
    "ess": "weights.sum() ** 2 / (weights**2).sum()",
}


def _running(**changed):
    return _RUNNING.format(**_RUNNING_PARTS | changed)


def _masks(**changed):
    return _MASKS.format(**_MASKS_PARTS | changed)


def _sample(**changed):
    return _SAMPLE.format(**_SAMPLE_PARTS | changed)


def _mixtures(**changed):
    return _MIXTURES.format(**_MIXTURES_PARTS | changed)


def _completions(**changed):
    return _COMPLETIONS.format(**_COMPLETIONS_PARTS | changed)


WRONG = {
    "running": {
        "a pixel sees itself": _running(before=_RUNNING_PARTS["after"], after="pass"),
        "the order is ignored": _running(loop="enumerate(range(len(order)))"),
        "the inverse of the order": _running(
            loop="enumerate(torch.as_tensor(order).argsort().tolist())"
        ),
        "weights by place, pixels by column": _running(
            logit="a.sigmoid() @ v[t] + b[t]", after="a = a + torch.outer(x[:, i], w[t])"
        ),
        "the way out by place": _running(logit="a.sigmoid() @ v[t] + b[t]"),
        "zeros do not count": _running(count="total = total + x[:, i] * F.logsigmoid(logit)"),
        "one and zero exchanged": _running(
            count="total = total - F.softplus(logit * (2 * x[:, i] - 1))"
        ),
        "the bias at every step": _running(after="a = a + torch.outer(x[:, i], w[i]) + c"),
        "no nonlinearity": _running(logit="a @ v[i] + b[i]"),
        "only the last pixel is remembered": _running(after="a = c + torch.outer(x[:, i], w[i])"),
        "the logarithm of a rounded probability": _running(
            count="total = total + (x[:, i] * logit.sigmoid() + (1 - x[:, i]) * "
            "(1 - logit.sigmoid()) + 1e-12).log()"
        ),
        "probabilities, not logarithms": _running(answer="total.exp()"),
        "the mean over pixels": _running(answer="total / len(order)"),
    },
    "masks": {
        "rows from the top whatever the order": _masks(place="torch.arange(n) + 1"),
        "the order for its inverse": _masks(place="torch.as_tensor(order) + 1"),
        "the last mask is not strict": _masks(last="(place[:, None] >= degrees[-1][None]).float()"),
        "every mask is strict": _masks(inner="(out[:, None] > into[None]).float()"),
        "rows and columns exchanged": _masks(inner="(out[None] >= into[:, None]).float()"),
        "inequality turned round": _masks(inner="(out[:, None] <= into[None]).float()"),
        "not every degree": _masks(
            degrees="torch.linspace(1, n - 1, units).long().clamp(max=n - 2)"
        ),
        "one degree for all": _masks(degrees="torch.full((units,), max(1, (n - 1) // 2))"),
        "degrees at random": _masks(degrees="torch.randint(1, n, (units,))"),
        "degrees from zero": _masks(degrees="torch.arange(units) % (n - 1)"),
        "triangles by unit number": _masks(
            inner="torch.ones(len(out), len(into)).tril()",
            last="torch.ones(n, len(degrees[-1])).tril(-1)",
        ),
    },
    "sample": {
        "as it was given": _sample(
            start="x, seen = (u < 0.5).float(), torch.zeros(u.shape)",
            loop="range(len(order))",
            p="logits(seen)[:, i].sigmoid()",
            draw="p > 0.5",
        ),
        "the order is not mended": _sample(loop="range(len(order))"),
        "what was drawn is not seen": _sample(
            start="x, seen = torch.zeros(u.shape), torch.zeros(u.shape)",
            p="logits(seen)[:, i].sigmoid()",
        ),
        "the likelier value": _sample(draw="p > 0.5"),
        "one where u is above p": _sample(draw="u[:, i] > p"),
        "fresh noise": _sample(draw="torch.rand(len(u)) < p"),
        "one uniform number a picture": _sample(draw="u[:, 0] < p"),
        "uniform numbers by place": _sample(
            start="x, t = torch.zeros(u.shape), 0", draw="u[:, t] < p", after="t += 1"
        ),
        "probabilities are passed on, not draws": _sample(
            start="x, seen = torch.zeros(u.shape), torch.zeros(u.shape)",
            p="logits(seen)[:, i].sigmoid()",
            after="seen[:, i] = p",
        ),
        "the order backwards": _sample(loop="list(order)[::-1]"),
        "all columns at once": _sample(
            start="x = torch.zeros(u.shape)\n    x = (u < logits(x).sigmoid()).float()",
            loop="[]",
        ),
    },
    "mixtures": {
        "the mean of the logarithms": _mixtures(ensemble="log_each.mean(0)"),
        "the sum over the orders": _mixtures(ensemble="log_each.logsumexp(0)"),
        "the best order": _mixtures(ensemble="log_each.max(0).values"),
        "densities underflow": _mixtures(ensemble="(log_each.exp().mean(0) + 1e-38).log()"),
        "divided by the number of pictures": _mixtures(
            ensemble="torch.logsumexp(log_each, 0) - math.log(log_each.shape[1])"
        ),
        "logits are shares": _mixtures(share="logits"),
        "the likeliest component alone": _mixtures(
            conditional="(share + log_normal).max(1).values"
        ),
        "the softmax over the pictures": _mixtures(share="logits.log_softmax(0)"),
        "the scale is a variance": _mixtures(sigma="(0.5 * log_scale).exp()"),
        "the width is forgotten": _mixtures(
            log_normal="-0.5 * ((x[:, None] - mean) / sigma) ** 2 - 0.5 * math.log(2 * math.pi)"
        ),
        "logarithms are averaged": _mixtures(conditional="(share.exp() * log_normal).sum(1)"),
        "a single bell with the mixture's mean": _mixtures(
            conditional="torch.distributions.Normal((share.exp() * mean).sum(1), "
            "(share.exp() * sigma).sum(1)).log_prob(x)"
        ),
        "far away it underflows": _mixtures(
            conditional="((share + log_normal).exp().sum(1) + 1e-38).log()"
        ),
        "products of shares and logarithms of densities": _mixtures(
            conditional="torch.logsumexp(share * log_normal, 1)"
        ),
    },
    "completions": {
        "all pixels weigh": _completions(
            unknown=_COMPLETIONS_PARTS["unknown"] + "; log_weight = log_weight + "
            "F.logsigmoid(logits(drawn)[:, i] * (2 * drawn[:, i] - 1))"
        ),
        "the unknown pixels weigh": _completions(
            known="pass",
            unknown=_COMPLETIONS_PARTS["unknown"] + "; log_weight = log_weight + "
            "F.logsigmoid(logits(drawn)[:, i] * (2 * drawn[:, i] - 1))",
        ),
        "no weights": _completions(known="pass"),
        "the known pixels are drawn as well": _completions(
            known=_COMPLETIONS_PARTS["known"] + "; " + _COMPLETIONS_PARTS["unknown"]
        ),
        "the probability of a one": _completions(sign="1"),
        "logarithms are added as they are": _completions(
            known="log_weight = log_weight + log_p.exp()"
        ),
        "weights do not sum to one": _completions(weights="log_weight.exp()"),
        "weights underflow": _completions(
            weights="(log_weight.exp() + 1e-30) / (log_weight.exp() + 1e-30).sum() * 0 + "
            "log_weight.exp() / log_weight.exp().sum()"
        ),
        "logarithms are normalised": _completions(weights="log_weight / log_weight.sum()"),
        "the likelier value": _completions(unknown="drawn[:, i] = (p > 0.5).float()"),
        "known pixels are met before the unknown": _completions(
            loop="sorted(order, key=lambda i: not known[i])"
        ),
        "the order is ignored": _completions(loop="range(len(order))"),
        "all draws count": _completions(ess="torch.tensor(float(len(u)))"),
        "the largest weight": _completions(ess="1 / weights.max()"),
        "the sum is not squared": _completions(ess="weights.sum() / (len(u) * weights**2).sum()"),
    },
}

RIGHT = {
    "running": {
        "softplus, and an outer product": _running(),
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
        "tensors of floats": _masks(),
        "no more connections than needed": _masks(inner="(out[:, None] == into[None]).float()"),
        "evenly spread degrees": _masks(degrees="torch.linspace(1, n - 1, units).round()"),
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
        "zeros in single precision": _sample(),
        "noise in the columns to come": _sample(start="x = (u < 0.5).float()"),
        "in logits": """
def sample(logits, order, u):
    columns = [torch.zeros(len(u)) for _ in order]
    for i in order:
        columns[i] = (u[:, i].logit() < logits(torch.stack(columns, 1))[:, i]).float()
    return torch.stack(columns, 1)
""",
    },
    "mixtures": {
        "torch's normal density": _mixtures(),
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
        "the weights by logsumexp": _completions(),
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
