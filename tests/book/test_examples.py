"""The Python that the prose pages show runs as it stands, and what the first page says is so."""

import itertools
import json
import math
import re

import pytest
import torch

from genlib.widgets import distances
from tests.book.toc import sources
from tools import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *(path for path in sources() if path.suffix == ".md")]
EXAMPLES = {
    path.relative_to(ROOT).as_posix(): "\n".join(BLOCK.findall(path.read_text(encoding="utf-8")))
    for path in PAGES
}


@pytest.mark.parametrize("page", [page for page, code in EXAMPLES.items() if code])
def test_the_examples_of_a_page_run(page):
    exec(EXAMPLES[page], {})


def test_of_three_distances_one_leaves_the_gaussian_on_one_cluster():
    """As the first page says of the figure that it borrows: by a pattern search from its start."""
    names = ["forward KL", "reverse KL", "Wasserstein"]
    figure = distances.Distances(separation=4, names=names)
    x = torch.linspace(-16, 16, 321, dtype=torch.float64)
    clusters = distances._clusters(figure.separation, x)
    widths = []
    for name in figure.distances():

        def distance(mean, log_deviation, name=name):
            q = distances._log_normal(x, mean, math.exp(log_deviation))
            return distances._all_distances(clusters, q, x)[name]

        place, step = (figure.mean, math.log(figure.deviation)), 0.5
        while step > 1e-3:
            steps = itertools.product((-step, 0, step), repeat=2)
            best = min(((place[0] + a, place[1] + b) for a, b in steps), key=lambda p: distance(*p))
            if best == place:
                step /= 2
            place = best
        widths.append(math.exp(place[1]))
    assert sum(width < 1 for width in widths) == 1
    assert sum(width > 1.9 for width in widths) == 2


def test_exercises_take_two_to_three_hours():
    """To the half hour, as the first page says: the sums of the times in their headings."""
    for path in ROOT.glob("lessons/*/exercises.ipynb"):
        text = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"])
        minutes = [int(m) for m in re.findall(r"## Exercise.* about (\d+) minutes", text)]
        assert len(minutes) == text.count("## Exercise")
        assert 2 <= round(sum(minutes) / 30) / 2 <= 3, path
