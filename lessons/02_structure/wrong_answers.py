"""Answers to the exercises of lesson 02, written as tools/coursework/answers.py says."""

_ROWS = "math.prod(states[j] for j in of)"
_FACTORS = "torch.where(x == 1, p.log(), (1 - p).log())"

WRONG = {
    "count": {
        "every probability is a free number": ("(own - 1)", "own"),
        "the states of the parents add": (_ROWS, "(1 + sum(states[j] for j in of))"),
        "every variable is binary": (f"(own - 1) * {_ROWS}", "2 ** len(of)"),
        "one number left over in all, not in each row": [
            ("(own - 1)", "own"),
            ("strict=True)\n    )", "strict=True)\n    ) - 1"),
        ],
        "the joint table": """
def free_parameters(parents, states):
    return math.prod(states) - 1
""",
    },
    "table": {
        "a joint table": ("sum(-1, keepdim=True)", "sum()"),
        "divides over the parents": ("sum(-1,", "sum(tuple(range(len(parents))) or -1,"),
        "parents in the order of the columns": ("[*parents, child]", "[*sorted(parents), child]"),
        "no smoothing": [(" + smoothing", ""), ("keepdim=True)", "keepdim=True).clamp_min(1e-12)")],
        "smoothing in the numerator only": [
            ("/ counts", "/ (counts - smoothing)"),
            ("keepdim=True)", "keepdim=True).clamp_min(1e-12)"),
        ],
        "the denominator grows by one count only": ("=True)", "=True).sub(smoothing)"),
    },
    "between": {
        "the past alone": ("past * future", "past"),
        "the future alone": ("past * future", "future"),
        "not divided by its sum": (" / joint.sum()", ""),
        "rows and columns of the transition exchanged": (
            "transition.double() @ future",
            "future @ transition.double()",
        ),
        "one step too many": ("range(i - 1)", "range(i)"),
        "the past twice": ("past * future", "past * future * past"),
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
        "as it was given": "posterior = given_posterior",
        "a missing word is an absent one": [("x == 1", "x * known == 1"), (" * known)", ")")],
        "logarithms, but back to products too early": (
            "log_joint.softmax(0)",
            "(log_joint.exp() / log_joint.exp().sum(0))",
        ),
        "absent words say nothing": ("(1 - p).log()", "0 * p"),
        "the prior is forgotten": ("prior.double().log()[:, None] + ", ""),
        "a missing word is half there": (
            "log_factors * known",
            "torch.where(known == 1, log_factors, (p.log() + (1 - p).log()) / 2)",
        ),
        "a missing word has its mean": [
            ("p = ", "x = torch.where(known == 1, x, prior @ word_probability).double()\n    p = "),
            (_FACTORS, "x * p.log() + (1 - x) * (1 - p).log()"),
            (" * known)", ")"),
        ],
    },
    "copies": {
        "the copies change nothing": ("k * evidence", "evidence"),
        "the prior is copied too": ("math.log", "k * math.log"),
        "absent words are not copied": ("(1 - x) @", "(1 - x) / k @"),
        "absent words say nothing": (" + (1 - x) @ ((1 - spam) / (1 - ham)).log()", ""),
        "the probability is raised, not the odds": ("k * evidence)", "evidence) ** k"),
        "the probability of ham": ("torch.sigmoid(", "1 - torch.sigmoid("),
    },
}

RIGHT = {
    "count": {
        "one variable at a time": """
def free_parameters(parents, states):
    total = 0
    for i, of in enumerate(parents):
        rows = 1
        for j in of:
            rows *= states[j]
        total += rows * (states[i] - 1)
    return total
""",
    },
    "table": {
        "a loop over the rows": """
def conditional_table(x, child, parents, smoothing):
    counts = torch.full([2] * (len(parents) + 1), float(smoothing), dtype=torch.float64)
    for row in x.long().tolist():
        counts[tuple(row[i] for i in [*parents, child])] += 1
    return counts / counts.sum(-1, keepdim=True)
""",
    },
    "between": {
        "matrix powers": """
def given_last(initial, transition, n, i, last):
    step = transition.double()
    forward = initial.double() @ torch.linalg.matrix_power(step, i - 1)
    joint = forward * torch.linalg.matrix_power(step, n - i)[:, last]
    return joint / joint.sum()
""",
        "in single precision, step by step": """
def given_last(initial, transition, n, i, last):
    beliefs = [initial]
    for _ in range(n - 1):
        beliefs.append(beliefs[-1] @ transition)
    after = torch.zeros_like(initial)
    after[last] = 1
    for k in range(n - 1, i - 1, -1):  # p(x_k | last) from p(x_{k+1} | last)
        backwards = beliefs[k - 1][:, None] * transition / (beliefs[k - 1] @ transition)
        after = backwards @ after
    return after
""",
    },
    "filter": {
        "matrix products of logarithms": """
def posterior(x, known, word_probability, prior):
    p = word_probability.double()
    log_joint = (x * known).double() @ p.log().T + ((1 - x) * known).double() @ (1 - p).log().T
    return torch.softmax(log_joint + prior.double().log(), 1)
""",
        "a sigmoid of the log-odds": """
def posterior(x, known, word_probability, prior):
    ham, spam = word_probability.double()
    odds = torch.where(x == 1, spam / ham, (1 - spam) / (1 - ham)).log()
    p = torch.sigmoid((odds * known).sum(1) + (prior[1] / prior[0]).double().log())
    return torch.stack([1 - p, p], 1)
""",
    },
    "copies": {
        "one word at a time": """
def spam_probability(x, word_probability, prior, k):
    log_odds = math.log(prior[1] / prior[0])
    for word, (ham, spam) in zip(x.T, word_probability.double().T):
        odds = torch.where(word == 1, spam / ham, (1 - spam) / (1 - ham))
        log_odds = log_odds + k * odds.log()
    return torch.sigmoid(log_odds)
""",
        "with the library": """
def spam_probability(x, word_probability, prior, k):
    wide, columns = word_probability.double().repeat(1, k), x.double().repeat(1, k)
    bernoulli = torch.distributions.Bernoulli(wide[:, None])
    log_joint = bernoulli.log_prob(columns).sum(-1).T + torch.tensor(prior).double().log()
    return log_joint.softmax(1)[:, 1]
""",
    },
}
