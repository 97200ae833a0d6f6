"""Answers to the exercises of lesson 02, written as tools/coursework/answers.py says."""

_ROWS = "math.prod(states[j] for j in of)"
_PAST = "past = initial.double()\n"
_FACTORS = "torch.where(x == 1, p.log(), (1 - p).log())"

# A tree that grows from the first column by the largest of ``shared``, up to the new edge (i, j).
GROWN = """    inside, edges = {0}, []
    while len(inside) < x.shape[1]:
        i, j = max(
            ((i, j) for i in inside for j in range(x.shape[1]) if j not in inside),
            key=lambda pair: shared[pair].item(),
        )
        inside.add(j)
"""
_TREE = (
    GROWN
    + """        edges.append((i, j))
    return edges
"""
)

WRONG = {
    "count": {
        "every probability is a free number": ("(own - 1)", "own"),
        "the states of the parents add": (_ROWS, "(1 + sum(states[j] for j in of))"),
        "every variable is binary": (f"(own - 1) * {_ROWS}", "2 ** len(of)"),
        "one number left over in all, not in each row": [
            ("(own - 1)", "own"),
            ("strict=True)\n    )", "strict=True)\n    ) - 1"),
        ],
        "parents stand before their children": """
def free_parameters(parents, states):
    return sum(
        (states[i] - 1) * math.prod(states[j] for j in of if j < i) for i, of in enumerate(parents)
    )
""",
        "the joint table": """
def free_parameters(parents, states):
    return math.prod(states) - 1
""",
        "the library's network": """
def free_parameters(parents, states):
    return gl.BayesNet(parents, states).free_parameters
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
        "the library's table": """
def conditional_table(x, child, parents, smoothing):
    family = x[:, [*parents, child]]
    k = len(parents)
    net = gl.BayesNet([*([[]] * k), list(range(k))], smoothing=smoothing)
    net.fit(family)
    return net.table(k)
""",
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
        "no step is impossible": (_PAST, f"transition = transition.clamp_min(1e-4)\n    {_PAST}"),
        "the start is scaled in place": (_PAST, f"initial /= 2\n    {_PAST}"),
        "the past twice": ("past * future", "past * future * past"),
        "twenty steps on either side": [
            ("range(i - 1)", "range(min(i - 1, 20))"),
            ("range(n - i)", "range(min(n - i, 20))"),
        ],
        "all sequences are listed, or else the ends are forgotten": """
def given_last(initial, transition, n, i, last):
    if n > 12:
        p = torch.linalg.matrix_power(transition.double(), 4000)[0]
        return p / p.sum()
    joint = initial.double()
    for _ in range(n - 1):
        joint = joint[..., None] * transition.double()
    kept = joint[..., last]
    answer = torch.eye(len(initial)).double()[last]
    if i < n:
        answer = kept.sum(tuple(d for d in range(n - 1) if d != i - 1)) if n > 2 else kept
    return answer / answer.sum()
""",
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
        "the library's chain": """
def given_last(initial, transition, n, i, last):
    chain = gl.MarkovChain(n, states=len(initial)).double()
    chain.set_tables([initial.double()] + [transition.double()] * (n - 1))
    if i == n:
        return torch.eye(len(initial))[last]
    return chain.conditional(i - 1, {n - 1: last})
""",
    },
    "filter": {
        "as it was given": "posterior = given_posterior",
        "a missing word is an absent one": [("x == 1", "x * known == 1"), (" * known)", ")")],
        "logarithms, but back to products too early": (
            "log_joint.softmax(0)",
            "(log_joint.exp() / log_joint.exp().sum(0))",
        ),
        "the largest of all mails subtracted": (
            "return log_joint.softmax(0)",
            "joint = (log_joint - log_joint.max()).exp()\n    return (joint / joint.sum(0))",
        ),
        "a product of ratios": """
def posterior(x, known, word_probability, prior):
    ham, spam = word_probability.double()
    factors = torch.where(x == 1, spam / ham, (1 - spam) / (1 - ham)) ** known
    odds = factors.prod(-1) * prior[1] / prior[0]
    return torch.stack([1 / (1 + odds), odds / (1 + odds)], 1)
""",
        "factors doubled against underflow": """
def posterior(x, known, word_probability, prior):
    p = word_probability.double()[:, None]
    factors = torch.where(known == 1, 2 * torch.where(x == 1, p, 1 - p), 1.0)
    joint = prior.double()[:, None] * factors.prod(-1)
    return (joint / joint.sum(0)).T
""",
        "unknown words are struck out in place": ("p = ", "x *= known\n    p = "),
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
    "tree": {
        "the least information first": (", reverse=True", ""),
        "cycles are closed": ("if group[i] != group[j]:", "if len(edges) < n - 1:"),
        "every column joined to its best partner": """
def best_tree(x):
    n, p = x.shape[1], x.double().mean(0)
    edges = []
    for i in range(1, n):
        def gain(j):
            total = 0.0
            for a in (0, 1):
                for b in (0, 1):
                    both = ((x[:, i] == a) & (x[:, j] == b)).double().mean()
                    apart = (p[i] if a else 1 - p[i]) * (p[j] if b else 1 - p[j])
                    total += float(torch.special.xlogy(both, both / apart.clamp_min(1e-12)))
            return total
        edges.append((i, max((j for j in range(n) if j != i), key=gain)))
    return edges
""",
        "only the state one counts": [
            ("        for a in (0, 1):", "        for a in (1,):"),
            ("            for b in (0, 1):", "            for b in (1,):"),
        ],
        "a chain in the order of the columns": """
def best_tree(x):
    return [(i, i + 1) for i in range(x.shape[1] - 1)]
""",
        "the covariance, with its sign": """
def best_tree(x):
    centred = x.double() - x.double().mean(0)
    shared = centred.T @ centred
"""
        + _TREE,
        "the correlation, whatever its sign": """
def best_tree(x):
    shared = torch.corrcoef(x.T).nan_to_num(0).abs()
"""
        + _TREE,
        "one more of each pair of states": """
def best_tree(x):
    on = torch.stack([1 - x, x]).double()
    joint = (torch.einsum("ani,bnj->abij", on, on) + 1) / (len(x) + 4)
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    shared = (joint * (joint / apart).log()).sum((0, 1))
"""
        + _TREE,
        "information divided by entropies": """
def best_tree(x):
    on = torch.stack([1 - x, x]).double()
    joint = torch.einsum("ani,bnj->abij", on, on) / len(x)
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    shared = torch.special.xlogy(joint, joint / apart.clamp_min(1e-12)).sum((0, 1))
    entropy = shared.diagonal()
    shared = shared / (entropy[:, None] * entropy).sqrt().clamp_min(1e-12)
"""
        + _TREE,
        "the library's tree": """
def best_tree(x):
    return [(i, of[0]) for i, of in enumerate(gl.chow_liu(x)) if of]
""",
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
        "one vector forwards and one backwards, in single precision": """
def given_last(initial, transition, n, i, last):
    past = initial
    for _ in range(i - 1):
        past = past @ transition
    future = torch.zeros(len(initial))
    future[last] = 1
    for _ in range(n - i):
        future = transition @ future
    joint = past * future
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
        "single precision, word by word": """
def posterior(x, known, word_probability, prior):
    total = prior.log().repeat(len(x), 1)
    for j in range(x.shape[1]):
        p = word_probability[:, j]
        factor = torch.where(x[:, j, None] == 1, p, 1 - p)
        total = total + factor.log() * known[:, j, None]
    return total.softmax(1)
""",
        "single precision, logsumexp": """
def posterior(x, known, word_probability, prior):
    p = word_probability.unsqueeze(1)
    s = (torch.where(x == 1, p, 1 - p).log() * known).sum(-1) + prior.log().unsqueeze(1)
    return (s - torch.logsumexp(s, 0)).exp().T
""",
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
    "tree": {
        "matrix products, and grown from one column": """
def best_tree(x):
    on = torch.stack([1 - x, x]).double()
    joint = torch.einsum("ani,bnj->abij", on, on) / len(x)
    single = on.mean(1)
    apart = single[:, None, :, None] * single[None, :, None, :]
    shared = torch.special.xlogy(joint, joint / apart.clamp_min(1e-12)).sum((0, 1))
"""
        + GROWN
        + """        edges.append([i, j])
    return edges
""",
        "entropies in NumPy, and SciPy's spanning tree": """
def best_tree(x):
    import numpy as np
    from scipy.sparse.csgraph import minimum_spanning_tree

    def entropy(columns):
        _, counts = np.unique(columns, axis=0, return_counts=True)
        p = counts / counts.sum()
        return -(p * np.log(p)).sum()

    data, n = x.numpy(), x.shape[1]
    weights = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            shared = entropy(data[:, [i]]) + entropy(data[:, [j]]) - entropy(data[:, [i, j]])
            weights[i, j] = -1 - shared
    return np.argwhere(minimum_spanning_tree(weights).toarray() != 0)
""",
    },
}
