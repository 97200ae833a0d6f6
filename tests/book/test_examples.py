"""The Python that the prose pages show runs as it stands."""

import re

import pytest

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
