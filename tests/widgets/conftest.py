"""A browser that shows one figure at a time, on a page of its own."""

import pytest

from tests.book.browser import Browser, executable

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>figure</title>
<meta name="viewport" content="width=device-width"><body>{}"""


@pytest.fixture(scope="package")
def browser():
    if not executable():
        pytest.skip("needs Chromium")
    with Browser() as browser:
        yield browser


@pytest.fixture
def shown(browser, tmp_path):
    """Open a figure in the browser; it must ask for nothing else and report no error, ever."""

    def show(figure, **window):
        path = tmp_path / "figure.html"
        path.write_text(PAGE.format(figure._repr_html_()), encoding="utf-8")
        browser.open(path.as_uri(), **window)
        return browser

    yield show
    assert browser.errors == []
    assert len(browser.requests) == 1
