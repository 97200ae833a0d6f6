"""Answers to the exercises of lesson 02 that graders must tell apart.

``WRONG`` holds what students really write, each under the misconception behind it, and ``RIGHT``
what is right though written otherwise than in the notebook. Each replaces the whole solution cell
of its exercise.
"""

_COUNT = """
def free_parameters(parents, states):
    total = 0
    for i, of in enumerate(parents):
        rows = {start}
        for j in of:
            rows {step} states[j]
        total += rows * {own}
    return {total}
"""

_TABLE = """
def conditional_table(x, child, parents, smoothing):
    counts = torch.zeros([2] * (len(parents) + 1), dtype=torch.float64)
    for row in x.tolist():
        counts[tuple(int(row[i]) for i in {family})] += 1
    {smooth}
    return counts / {total}
"""
_FAMILY = "[*parents, child]"
_SMOOTH = "counts += smoothing"
_TOTAL = "counts.sum(-1, keepdim=True)"

_BETWEEN = """
def given_last(initial, transition, n, i, last):
    start, step = initial.double(), transition.double()
    forward = start @ torch.linalg.matrix_power(step, {past})
    backward = torch.linalg.matrix_power(step, {future}){column}
    joint = {joint}
    return {answer}
"""

_FILTER = """
def posterior(x, known, word_probability, prior):
    p = word_probability.double()
    present, absent = p.log().T, torch.log1p(-p).T
    log_joint = {present} @ present + {absent} @ absent{prior}
    return {answer}
"""
_PRESENT, _ABSENT = "(x * known).double()", "((1 - x) * known).double()"
_PRIOR = " + prior.double().log()"
_SOFTMAX = "torch.softmax(log_joint, 1)"

_COPIES = """
def spam_probability(x, word_probability, prior, k):
    p, log_odds = word_probability.double(), {start}
    for j in range(x.shape[1]):
        present = {times} * (p[1, j] / p[0, j]).log()
        absent = {times} * ((1 - p[1, j]) / (1 - p[0, j])).log()
        log_odds = log_odds + torch.where(x[:, j] == 1, present, {absent})
    return {answer}
"""
_START = "math.log(prior[1] / prior[0])"

WRONG = {
    "count": {
        "every probability is a free number": _COUNT.format(
            start=1, step="*=", own="states[i]", total="total"
        ),
        "the states of the parents add": _COUNT.format(
            start=1, step="+=", own="(states[i] - 1)", total="total"
        ),
        "every variable is binary": """
def free_parameters(parents, states):
    return sum(2 ** len(of) for of in parents)
""",
        "one number left over in all, not in each row": _COUNT.format(
            start=1, step="*=", own="states[i]", total="total - 1"
        ),
        "the joint table": """
def free_parameters(parents, states):
    return math.prod(states) - 1
""",
    },
    "table": {
        "a joint table": _TABLE.format(family=_FAMILY, smooth=_SMOOTH, total="counts.sum()"),
        "divides over the parents": _TABLE.format(
            family=_FAMILY,
            smooth=_SMOOTH,
            total="counts.sum(tuple(range(len(parents))) or -1, keepdim=True)",
        ),
        "parents in the order of the columns": _TABLE.format(
            family="[*sorted(parents), child]", smooth=_SMOOTH, total=_TOTAL
        ),
        "no smoothing": _TABLE.format(
            family=_FAMILY, smooth="pass", total=_TOTAL + ".clamp_min(1e-12)"
        ),
        "smoothing in the numerator only": _TABLE.format(
            family=_FAMILY,
            smooth="rows = counts.sum(-1, keepdim=True).clamp_min(1e-12); counts += smoothing",
            total="rows",
        ),
        "the denominator grows by one share only": _TABLE.format(
            family=_FAMILY,
            smooth="rows = counts.sum(-1, keepdim=True) + smoothing; counts += smoothing",
            total="rows",
        ),
    },
    "between": {
        "the past alone": _BETWEEN.format(
            past="i - 1", future="n - i", column="[:, last]", joint="forward", answer="joint"
        ),
        "the future alone": _BETWEEN.format(
            past="i - 1",
            future="n - i",
            column="[:, last]",
            joint="backward",
            answer="joint / joint.sum()",
        ),
        "not divided by its sum": _BETWEEN.format(
            past="i - 1",
            future="n - i",
            column="[:, last]",
            joint="forward * backward",
            answer="joint",
        ),
        "rows and columns of the transition exchanged": _BETWEEN.format(
            past="i - 1",
            future="n - i",
            column="[last]",
            joint="forward * backward",
            answer="joint / joint.sum()",
        ),
        "one step too many": _BETWEEN.format(
            past="i",
            future="n - i",
            column="[:, last]",
            joint="forward * backward",
            answer="joint / joint.sum()",
        ),
        "the past twice": _BETWEEN.format(
            past="i - 1",
            future="n - i",
            column="[:, last]",
            joint="forward * backward * forward",
            answer="joint / joint.sum()",
        ),
        "all sequences are listed": """
def given_last(initial, transition, n, i, last):
    if n > 12:
        return torch.full_like(initial, 1 / len(initial))
    joint = initial.double()
    for _ in range(n - 1):
        joint = joint[..., None] * transition.double()
    kept = joint[..., last]
    answer = initial.double() * 0 + torch.eye(len(initial)).double()[last]
    if i < n:
        answer = kept.sum(tuple(d for d in range(n - 1) if d != i - 1)) if n > 2 else kept
    return answer / answer.sum()
""",
    },
    "filter": {
        "as it was given": """
def posterior(x, known, word_probability, prior):
    return given_posterior(x, known, word_probability, prior)
""",
        "a missing word is an absent one": _FILTER.format(
            present=_PRESENT, absent="(1 - x * known).double()", prior=_PRIOR, answer=_SOFTMAX
        ),
        "logarithms, but back to products too early": _FILTER.format(
            present=_PRESENT,
            absent=_ABSENT,
            prior=_PRIOR,
            answer="log_joint.exp() / log_joint.exp().sum(1, keepdim=True)",
        ),
        "absent words say nothing": _FILTER.format(
            present=_PRESENT, absent="0 * x.double()", prior=_PRIOR, answer=_SOFTMAX
        ),
        "the prior is forgotten": _FILTER.format(
            present=_PRESENT, absent=_ABSENT, prior="", answer=_SOFTMAX
        ),
        "a missing word is half there": """
def posterior(x, known, word_probability, prior):
    p = word_probability.double()
    filled = torch.where(known == 1, x, torch.full_like(x, 0.5)).double()
    log_joint = filled @ p.log().T + (1 - filled) @ (1 - p).log().T
    return torch.softmax(log_joint + prior.double().log(), 1)
""",
        "a missing word has its mean": """
def posterior(x, known, word_probability, prior):
    p = word_probability.double()
    filled = torch.where(known == 1, x.double(), prior.double() @ p)
    log_joint = filled @ p.log().T + (1 - filled) @ (1 - p).log().T
    return torch.softmax(log_joint + prior.double().log(), 1)
""",
    },
    "copies": {
        "the copies change nothing": _COPIES.format(
            start=_START, times=1, absent="absent", answer="torch.sigmoid(log_odds)"
        ),
        "the prior is copied too": _COPIES.format(
            start="k * " + _START, times="k", absent="absent", answer="torch.sigmoid(log_odds)"
        ),
        "absent words are not copied": _COPIES.format(
            start=_START, times="k", absent="absent / k", answer="torch.sigmoid(log_odds)"
        ),
        "absent words say nothing": _COPIES.format(
            start=_START, times="k", absent="torch.zeros(())", answer="torch.sigmoid(log_odds)"
        ),
        "the probability is raised, not the odds": _COPIES.format(
            start=_START, times=1, absent="absent", answer="torch.sigmoid(log_odds) ** k"
        ),
        "the probability of ham": _COPIES.format(
            start=_START, times="k", absent="absent", answer="torch.sigmoid(-log_odds)"
        ),
    },
}

RIGHT = {
    "count": {
        "one variable at a time": _COUNT.format(
            start=1, step="*=", own="(states[i] - 1)", total="total"
        ),
    },
    "table": {
        "a loop over the rows": _TABLE.format(family=_FAMILY, smooth=_SMOOTH, total=_TOTAL),
    },
    "between": {
        "matrix powers": _BETWEEN.format(
            past="i - 1",
            future="n - i",
            column="[:, last]",
            joint="forward * backward",
            answer="joint / joint.sum()",
        ),
        "in single precision, step by step": """
def given_last(initial, transition, n, i, last):
    belief = initial
    beliefs = [belief]
    for _ in range(n - 1):
        belief = belief @ transition
        beliefs.append(belief)
    after = torch.zeros_like(initial)
    after[last] = 1
    for k in range(n - 1, i - 1, -1):  # p(x_k | last) from p(x_{k+1} | last)
        backwards = beliefs[k - 1][:, None] * transition / (beliefs[k - 1] @ transition)
        after = backwards @ after
    return after
""",
    },
    "filter": {
        "matrix products of logarithms": _FILTER.format(
            present=_PRESENT, absent=_ABSENT, prior=_PRIOR, answer=_SOFTMAX
        ),
        "a sigmoid of the log-odds": """
def posterior(x, known, word_probability, prior):
    ham, spam = word_probability.double()
    odds = torch.where(x == 1, spam / ham, (1 - spam) / (1 - ham)).log()
    p = torch.sigmoid((odds * known).sum(1) + (prior[1] / prior[0]).double().log())
    return torch.stack([1 - p, p], 1)
""",
    },
    "copies": {
        "one word at a time": _COPIES.format(
            start=_START, times="k", absent="absent", answer="torch.sigmoid(log_odds)"
        ),
        "with the library": """
def spam_probability(x, word_probability, prior, k):
    wide, columns = word_probability.double().repeat(1, k), x.double().repeat(1, k)
    bernoulli = torch.distributions.Bernoulli(wide[:, None])
    log_joint = bernoulli.log_prob(columns).sum(-1).T + torch.tensor(prior).double().log()
    return log_joint.softmax(1)[:, 1]
""",
    },
}
