"""Answers to the exercises of lesson 17, written as tools/coursework/answers.py says."""

_LOSS_D = "-logsigmoid(D(x)).mean() - logsigmoid(-D(fake)).mean()"
_LOSS_G = "-logsigmoid(D(G(z))).mean()"
_CLEAR_D = "    move_D.zero_grad()\n"
_CLEAR_G = "    move_G.zero_grad()\n"

WRONG = {
    "round": {
        "as it was given": "one_round = faulty_round",
        "generated rows labelled as real": ("logsigmoid(-D(fake))", "logsigmoid(D(fake))"),
        "the sign of the discriminator's loss": (_LOSS_D, f"-({_LOSS_D})"),
        "plus for the generated rows": (
            ".mean() - logsigmoid(-D(fake))",
            ".mean() + logsigmoid(-D(fake))",
        ),
        "half the loss: the balanced cross-entropy": (_LOSS_D, f"({_LOSS_D}) / 2"),
        "gradients of the generator's step left in the discriminator": (_CLEAR_D, ""),
        "gradients of the discriminator's step left in the generator": [
            ("G(z).detach()", "G(z)"),
            (_CLEAR_G, ""),
        ],
        "the minimax cost": (_LOSS_G, "logsigmoid(-D(G(z))).mean()"),
        "a generator taught to be found out": (_LOSS_G, "-logsigmoid(-D(G(z))).mean()"),
        "a generator that repels": (_LOSS_G, "logsigmoid(D(G(z))).mean()"),
        "judged before the discriminator's step": [
            (_CLEAR_D, f"    before = copy.deepcopy(D)\n{_CLEAR_D}"),
            (_LOSS_G, "-logsigmoid(before(G(z))).mean()"),
        ],
        "sums, not means": [
            (_LOSS_D, "-logsigmoid(D(x)).sum() - logsigmoid(-D(fake)).sum()"),
            (_LOSS_G, "-logsigmoid(D(G(z))).sum()"),
        ],
        "the logarithm of a probability": (_LOSS_G, "-D(G(z)).sigmoid().log().mean()"),
        "the generator moves in both steps": [
            ("G(z).detach()", "G(z)"),
            (_CLEAR_D, "    move_D.zero_grad()\n    move_G.zero_grad()\n"),
            ("    move_D.step()\n", "    move_D.step()\n    move_G.step()\n"),
        ],
        "the discriminator moves in both steps": (
            "    move_G.step()\n",
            "    move_G.step()\n    move_D.step()\n",
        ),
    },
    "judge": {
        "a straight line": """
def judge(x, y):
    w = torch.zeros(2, 1).double().requires_grad_()
    optimizer = torch.optim.LBFGS([w], max_iter=40)

    def loss():
        optimizer.zero_grad()
        value = softplus(-(x * w[0] + w[1])).mean() + softplus(y * w[0] + w[1]).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return lambda rows: (rows * w[0] + w[1]).detach()
""",
        "the other way round": ("features(rows) @ w", "-(features(rows) @ w)"),
        "probabilities": ("features(rows) @ w", "(features(rows) @ w).sigmoid()"),
        "three bumps": [
            ("torch.linspace(-6, 6, 17)", "torch.linspace(-6, 6, 3)"),
            ("torch.zeros(18, 1)", "torch.zeros(4, 1)"),
            ("torch.eye(18)", "torch.eye(4)"),
        ],
        "two Gaussians": """
def judge(x, y):
    def log(rows, sample):
        return -0.5 * ((rows - sample.mean()) / sample.std()) ** 2 - sample.std().log()

    return lambda rows: log(rows, x) - log(rows, y)
""",
        "each sample by heart": """
def judge(x, y):
    def log(rows, sample):
        return (-0.5 * ((rows - sample.T) / 0.002) ** 2).logsumexp(1)

    return lambda rows: (log(rows, x) - log(rows, y)).clamp(-30, 30)
""",
    },
    "hellinger": {
        "the bound, not minus it": ("return loss_D,", "return -loss_D,"),
        "the samples' T without the conjugate": (
            "penalty = torch.expm1(fake).mean()",
            "penalty = -torch.expm1(-fake).mean()",
        ),
        "the sign of the generator": ("-penalty, log_u / 2", "penalty, log_u / 2"),
        "the non-saturating generator": ("-penalty, log_u", "torch.expm1(-fake).mean(), log_u"),
        "the logit of the logistic loss": ("log_u / 2, (", "log_u, ("),
        "T for the logit": ("log_u / 2, (", "-torch.expm1(-log_u / 2), ("),
        "the second derivative alone": ("(log_u / 2).exp() / 2", "(-1.5 * log_u).exp() / 2"),
        "the factor of the second derivative": ("(log_u / 2).exp() / 2", "(log_u / 2).exp()"),
        "u for log u": ("(log_u / 2).exp() / 2", "log_u.abs().sqrt() / 2"),
        "T, then the conjugate of it": (
            "torch.expm1(fake).mean()",
            "((1 - torch.exp(-fake)) / torch.exp(-fake).clamp(min=1e-12)).mean()",
        ),
        "sums": [
            ("torch.expm1(fake).mean()", "torch.expm1(fake).sum()"),
            ("torch.expm1(-real).mean()", "torch.expm1(-real).sum()"),
        ],
    },
}

RIGHT = {
    "round": {
        "binary cross-entropy, the samples made twice": """
def one_round(x, z, G, D, move_G, move_D):
    cost = nn.functional.binary_cross_entropy_with_logits
    with torch.no_grad():
        fake = G(z)
    real_v, fake_v = D(x), D(fake)
    first = cost(real_v, torch.ones_like(real_v)) + cost(fake_v, torch.zeros_like(fake_v))
    move_D.zero_grad()
    first.backward()
    move_D.step()
    v = D(G(z))
    second = cost(v, torch.ones_like(v))
    move_G.zero_grad()
    second.backward()
    move_G.step()
    return first.item(), second.item()
""",
        "gradients asked for, none left behind": """
def one_round(x, z, G, D, move_G, move_D):
    def moved(net, optimizer, loss):
        parts = list(net.parameters())
        for part, slope in zip(parts, torch.autograd.grad(loss, parts)):
            part.grad = slope
        optimizer.step()
        return float(loss.detach())

    first = moved(D, move_D, softplus(-D(x)).mean() + softplus(D(G(z))).mean())
    return [first, moved(G, move_G, softplus(-D(G(z))).mean())]
""",
    },
    "judge": {
        "kernel densities of both": """
def judge(x, y):
    def log(rows, sample):
        each = -0.5 * ((rows - sample.T) / 0.25) ** 2
        return torch.logaddexp(each.logsumexp(1), torch.tensor(-4.0).double())

    return lambda rows: log(rows, x) - log(rows, y)
""",
        "counts in bins, NumPy": """
def judge(x, y):
    import numpy as np

    edges = np.linspace(-8, 8, 65)
    p, q = (np.histogram(each.numpy(), edges)[0] + 0.5 for each in (x, y))

    def logits(rows):
        place = np.clip(np.digitize(rows.numpy()[:, 0], edges) - 1, 0, 63)
        return np.log(p[place]) - np.log(q[place])

    return logits
""",
    },
    "hellinger": {
        "numbers and lists": """
def hellinger(real, fake, log_u):
    raised = [1 - math.exp(-v) for v in real.tolist()]
    lowered = [math.exp(v) - 1 for v in fake.tolist()]
    first = sum(lowered) / len(lowered) - sum(raised) / len(raised)
    second = -sum(lowered) / len(lowered)
    best = [r / 2 for r in log_u.tolist()]
    return first, second, best, [0.5 * math.exp(r / 2) for r in log_u.tolist()]
""",
        "NumPy": """
def hellinger(real, fake, log_u):
    import numpy as np

    real, fake, log_u = (each.numpy() for each in (real, fake, log_u))
    bound = np.mean(1 - np.exp(-real)) - np.mean(np.exp(fake) - 1)
    return -bound, 1 - np.mean(np.exp(fake)), log_u / 2, np.sqrt(np.exp(log_u)) / 2
""",
    },
}
