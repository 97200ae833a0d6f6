"""Answers to the exercises of lesson 18, written as tools/coursework/answers.py says."""

_REAL = "-(1 - alpha) * logsigmoid(real_v).mean()"
_OTHER = "\n                - alpha * logsigmoid(-real_v).mean()"
_FAKE = "- logsigmoid(-fake_v).mean()"
_JUDGED = "judge(moved, x), judge(moved, fake)"
_SLOPES = "torch.autograd.grad(loss, moved, create_graph=True)"
_STEP = "part - rate * slope"
_END = "-logsigmoid(judge(moved, fake)).mean()"
_PARTS = "    moved = [part.detach().requires_grad_() for part in parts]\n"

_SECOND = "        along_x, along_y = gradients(*ahead)\n"
_MOVE = "        x, y = x - rate * along_x, y + rate * along_y\n"
_AHEAD = "        ahead = x - rate * along_x, y + rate * along_y\n"

WRONG = {
    "ahead": {
        "as it was given": "ahead = faulty_ahead",
        "the discriminator's answer taken as given": (
            _JUDGED,
            "judge(moved, x), judge(moved, fake.detach())",
        ),
        "slopes without a graph": [
            (_SLOPES, "torch.autograd.grad(loss, moved)"),
            (_STEP, "(part - rate * slope).detach().requires_grad_()"),
        ],
        "each step from the same place": [
            (_PARTS, f"{_PARTS}    first = moved\n"),
            (_JUDGED, "judge(first, x), judge(first, fake)"),
            (_SLOPES, "torch.autograd.grad(loss, first, create_graph=True)"),
        ],
        "up the discriminator's loss": (_STEP, "part + rate * slope"),
        "one term of a smoothed label": (_OTHER, ""),
        "labels of one and zero": [(_REAL, "-logsigmoid(real_v).mean()"), (_OTHER, "")],
        "both labels smoothed": (
            _FAKE,
            "- (1 - alpha) * logsigmoid(-fake_v).mean() - alpha * logsigmoid(fake_v).mean()",
        ),
        "the minimax cost": (_END, "logsigmoid(-judge(moved, fake)).mean()"),
        "judged by the discriminator as it is": (_END, "-logsigmoid(judge(parts, fake)).mean()"),
        "one step more": ("range(k)", "range(k + 1)"),
        "sums, not means": [
            (_REAL, "-(1 - alpha) * logsigmoid(real_v).sum()"),
            ("alpha * logsigmoid(-real_v).mean()", "alpha * logsigmoid(-real_v).sum()"),
            (_FAKE, "- logsigmoid(-fake_v).sum()"),
        ],
        "two losses for a loss and a gradient": (
            "return loss, torch.autograd.grad(loss, fake)[0]",
            "return loss, -logsigmoid(judge(parts, fake)).mean()",
        ),
    },
    "critic": {
        "the other way round": ("loss = -rise @ heights", "loss = rise @ heights"),
        "a price that is too low": ("100 * excess", "0.1 * excess"),
        "a straight line": """
def critic(x, y):
    sign = 1.0 if x.mean() > y.mean() else -1.0
    return lambda rows: sign * rows
""",
        "a single kink": """
def critic(x, y):
    kinks = [(sign, centre) for sign in (-1, 1) for centre in torch.linspace(-4, 4, 81)]
    gaps = [s * ((x - c).abs().mean() - (y - c).abs().mean()) for s, c in kinks]
    sign, centre = kinks[int(torch.stack(gaps).argmax())]
    return lambda rows: sign * (rows - centre).abs()
""",
        "Gaussians with the moments of both": """
def critic(x, y):
    line = torch.linspace(-7, 7, 1401).double()
    F, H = (torch.special.ndtr((line - each.mean()) / each.std()) for each in (x, y))
    values = torch.cumulative_trapezoid((H - F).sign(), line)
    return lambda rows: values[((rows + 7) * 100).long().clamp(0, 1399)]
""",
        "a classifier's logit": """
def critic(x, y):
    edges = torch.linspace(-6, 6, 25).double()

    def counts(rows):
        return torch.histogram(rows[:, 0], edges)[0] + 1.0

    ratio = (counts(x) / counts(y)).log()

    def value(rows):
        place = torch.bucketize(rows[:, 0].contiguous(), edges[1:-1])
        return ratio[place]

    return value
""",
        "values, not a function": ("lambda rows: steps(rows) @ heights", "steps(x) @ heights"),
    },
    "settle": {
        "both at once": [(_SECOND, "        ahead = ahead\n"), (_AHEAD, "        ahead = x, y\n")],
        "in turn": [
            (_AHEAD, "        ahead = x - rate * along_x, y\n"),
            (_MOVE, "        x, y = ahead[0], y + rate * along_y\n"),
        ],
        "from the place ahead": (
            _MOVE,
            "        x, y = ahead[0] - rate * along_x, ahead[1] + rate * along_y\n",
        ),
        "both go down": [
            (_AHEAD, "        ahead = x - rate * along_x, y - rate * along_y\n"),
            (_MOVE, "        x, y = x - rate * along_x, y - rate * along_y\n"),
        ],
        "the mean of steps at once": """
def settle(gradients, x, y):
    places = []
    for _ in range(1500):
        places.append((x, y))
        along_x, along_y = gradients(x, y)
        x, y = x - 0.05 * along_x, y + 0.05 * along_y
    return sum(p[0] for p in places) / 1500, sum(p[1] for p in places) / 1500
""",
        "too few steps": ("range(1000)", "range(60)"),
        "steps that are too short for the slowest direction": ("rate = 0.3", "rate = 0.21"),
        "more calls than allowed": ("range(1000)", "range(1001)"),
    },
}

RIGHT = {
    "ahead": {
        "torch.func": """
def ahead(x, fake, parts, judge, k, rate, alpha):
    def D_loss(parts, fake):
        real_v = judge(list(parts), x)
        smooth = (1 - alpha) * softplus(-real_v) + alpha * softplus(real_v)
        return smooth.mean() + softplus(judge(list(parts), fake)).mean()

    def G_loss(fake):
        moved = tuple(parts)
        for _ in range(k):
            slopes = torch.func.grad(D_loss)(moved, fake)
            moved = tuple(p - rate * s for p, s in zip(moved, slopes))
        return softplus(-judge(list(moved), fake)).mean()

    slope, loss = torch.func.grad_and_value(G_loss)(fake)
    return loss.item(), slope.tolist()
""",
        "binary cross-entropy": """
def ahead(x, fake, parts, judge, k, rate, alpha):
    cost = torch.nn.functional.binary_cross_entropy_with_logits
    rows = fake.clone().requires_grad_(True)
    now = [p.clone().requires_grad_(True) for p in parts]
    for _ in range(k):
        v, w = judge(now, x), judge(now, rows)
        loss = cost(v, torch.full_like(v, 1 - alpha)) + cost(w, torch.zeros_like(w))
        slopes = torch.autograd.grad(loss, now, create_graph=True)
        now = [p - rate * s for p, s in zip(now, slopes)]
    v = judge(now, rows)
    final = cost(v, torch.ones_like(v))
    final.backward()
    return [final.item(), rows.grad.numpy()]
""",
    },
    "critic": {
        "slopes bounded by what they are made of": """
def critic(x, y):
    knots = torch.linspace(-6, 6, 61).double()
    raw = torch.zeros(60).double().requires_grad_()
    move = torch.optim.Adam([raw], lr=0.1)

    def value(rows):
        pieces = (rows - knots[:-1]).clamp(0, 0.2)
        return pieces @ torch.tanh(raw)

    for _ in range(200):
        loss = value(y).mean() - value(x).mean()
        move.zero_grad()
        loss.backward()
        move.step()
    return lambda rows: value(rows).detach()
""",
        "counted distribution functions, NumPy": """
def critic(x, y):
    import numpy as np

    knots = np.linspace(-7, 7, 141)
    F, H = (np.searchsorted(np.sort(each.numpy()[:, 0]), knots) / 1000 for each in (x, y))
    slopes = np.sign(H - F)
    values = np.concatenate([[0], np.cumsum((slopes[1:] + slopes[:-1]) / 2 * 0.1)])
    return lambda rows: np.interp(rows.numpy()[:, 0], knots, values)
""",
    },
    "settle": {
        "the gradient of the step before, once more": """
def settle(gradients, x, y):
    old_x, old_y = gradients(x, y)
    for _ in range(1900):
        new_x, new_y = gradients(x, y)
        x = x - 0.25 * (2 * new_x - old_x)
        y = y + 0.25 * (2 * new_y - old_y)
        old_x, old_y = new_x, new_y
    return [x, y]
""",
        "linear equations": """
def settle(gradients, x, y):
    d = len(x)
    zero = torch.zeros(d).double()
    b, c = gradients(zero, zero)
    columns = [gradients(zero, row)[0] - b for row in torch.eye(d).double()]
    A = torch.stack(columns, 1)
    return torch.linalg.solve(A.T, -c).tolist(), torch.linalg.solve(A, -b).numpy()
""",
    },
}
