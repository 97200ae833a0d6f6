"""Discrete graphical models: fitting naive Bayes, and the log mass of a Bayesian network.

Binary rows, float32. Naive Bayes is measured against scikit-learn's, as it comes and as it is
fastest on rows that are binary already; the network, whose variables have up to three parents,
against one look-up a variable, written with eager PyTorch.
"""

from collections.abc import Callable

import torch
from sklearn.naive_bayes import BernoulliNB
from torch import Tensor

import genlib as gl
from tests.benchmarks.harness import compare, memory_of, peak_memory, rounded

GENLIB, SKLEARN, DEFAULT, EAGER = (
    "genlib",
    "scikit-learn",
    "scikit-learn, default",
    "eager torch",
)
CLASSES = 10


def run(
    device: str,
    rounds: int,
    rows: int = 100_000,
    features: int = 784,
    variables: int = 64,
    memory: bool = True,
) -> dict[str, object]:
    """Measure both tasks, print tables, return the record."""
    settings = {
        "rows": rows,
        "classes": CLASSES,
        "dtype": "float32",
        "rounds": rounds,
        "parents": "up to 3 a variable, drawn from those before it",
        "scikit-learn": "BernoulliNB(binarize=None), on the CPU",
        "scikit-learn, default": "BernoulliNB(), on the CPU",
        "eager torch": "for each variable, its table at the states of its parents and its own",
        "seconds": "median of a call; every contender is called once a round",
        "times genlib": "seconds over those of genlib",
        "memory": "most megabytes that a call adds, in a process that has made a small one",
        "error": "largest difference from genlib: of a count, of a log mass in nats",
    }
    tasks = {"naive Bayes fit": features, "Bayesian network log mass": variables}
    results = [_measure(task, d, device, rounds, rows, memory) for task, d in tasks.items()]
    return {"settings": settings, "results": results}


def _measure(
    task: str, d: int, device: str, rounds: int, rows: int, memory: bool
) -> dict[str, object]:
    contenders = _contenders(task, rows, d, device)
    answer = contenders[GENLIB]()

    def more(name: str, seconds: float) -> dict[str, object]:
        row = (
            {"memory": memory_of(_peak, task, rows, d, device, name, device=device)}
            if memory
            else {}
        )
        return row | {"error": rounded((contenders[name]() - answer).abs().max().item(), 2)}

    return compare({"task": task, "d": d}, contenders, rounds, device, more)


def _peak(task: str, rows: int, d: int, device: str, name: str) -> float | None:
    """Megabytes that one call of one contender adds."""
    _contenders(task, 200, d, device)[name]()
    return peak_memory(_contenders(task, rows, d, device)[name], device)


def _contenders(task: str, rows: int, d: int, device: str) -> dict[str, Callable[[], Tensor]]:
    make = _naive_bayes if task == "naive Bayes fit" else _network
    generator = torch.Generator().manual_seed(d)
    return make((torch.rand(rows, d, generator=generator) < 0.3).float(), generator, device)


def _naive_bayes(
    x: Tensor, generator: torch.Generator, device: str
) -> dict[str, Callable[[], Tensor]]:
    """Each fits the model and answers with how often each feature occurs in each class."""
    y = torch.randint(CLASSES, (len(x),), generator=generator)
    features, labels = x.numpy(), y.numpy()
    x, y = x.to(device), y.to(device)

    def ours() -> Tensor:
        model = gl.NaiveBayes().to(device)
        model.fit(x, y)
        return model.feature_counts.double().cpu()

    def peer(**settings: object) -> Tensor:
        return torch.from_numpy(
            BernoulliNB(**settings).fit(features, labels).feature_count_
        ).double()

    return {GENLIB: ours, SKLEARN: lambda: peer(binarize=None), DEFAULT: peer}


def _network(x: Tensor, generator: torch.Generator, device: str) -> dict[str, Callable[[], Tensor]]:
    """Each answers with log p(x) of every row."""
    order = [torch.randperm(i, generator=generator)[:3].tolist() for i in range(x.shape[1])]
    x, model = x.to(device), gl.BayesNet(order).to(device)
    model.fit(x)
    tables = [model.table(i).log().to(x) for i in range(x.shape[1])]

    def eager() -> Tensor:
        states = x.long()
        total = torch.zeros(len(x), device=x.device)
        for i, (parents, log_table) in enumerate(zip(order, tables, strict=True)):
            total += log_table[tuple(states[:, j] for j in [*parents, i])]
        return total

    return {GENLIB: lambda: model.log_prob(x), EAGER: eager}
