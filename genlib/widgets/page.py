"""What all figures of the kit share: a page of their own that asks no server for anything.

A figure carries its data as JSON, and a few lines of plain JavaScript that draw it: a file of
``js/``, one function of the figure's element, its data and some helpers (``js/kit.js``). It is
whole before any script runs, as far as Python can draw it: what stands in the page then is the
figure at its start.
"""

from __future__ import annotations

import functools
import hashlib
import html
import json
import math
import re
from abc import ABC, abstractmethod
from importlib import resources
from typing import Any, ClassVar

_LARGEST = 600_000  # characters of a figure's data: a page has a few figures, and is read on phones
_PAGE = """\
<div class="genlib-figure genlib-{kind}" data-figure="{key}">
<style>{style}</style>
{body}
<script type="application/json">{data}</script>
<script>
(() => {{
{kit}
const draw = {script};
// The same figure may stand on a page twice: each is drawn once.
for (const figure of document.querySelectorAll('[data-figure="{key}"]:not([data-drawn])')) {{
  figure.dataset.drawn = "";
  const data = figure.querySelector('script[type="application/json"]').textContent;
  draw(figure, JSON.parse(data), kit);
}}
}})();
</script>
</div>"""


class Interactive(ABC):
    """A figure that a reader can touch, in a notebook and on a page with no kernel behind it.

    A subclass names its script, ``js/<kind>.js``, and gives the data for it and the figure at its
    start as HTML. Scripts that several kinds share, which add to the kit, it names in ``shared``.

    Attributes
    ----------
    alt : str
        What there is to see, for those who cannot; a page that numbers its figures prints it as the
        caption.
    hint : str
        What to look for, said above the figure.
    """

    kind: ClassVar[str]
    shared: ClassVar[tuple[str, ...]] = ()
    alt: str
    hint: str

    def __init__(self, alt: str, hint: str = "") -> None:
        self.alt, self.hint = check_words(alt, "alt"), check_words(hint, "hint")

    @abstractmethod
    def _data(self) -> Any:
        """What the script draws: a nest of lists, dictionaries, numbers and strings."""

    @abstractmethod
    def _body(self) -> str:
        """The figure at its start, as HTML. Its drawing is labelled with ``alt``."""

    def _repr_html_(self) -> str:
        data = json.dumps(self._data(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        if len(data) > _LARGEST:
            raise ValueError(
                f"{type(self).__name__}: expected data of at most {_LARGEST:,} characters, got "
                f"{len(data):,}; show less of it, or more coarsely."
            )
        key = hashlib.sha256((self.kind + data + self.alt).encode()).hexdigest()[:12]
        return _PAGE.format(
            kind=self.kind,
            key=key,
            style=_file("kit.css"),
            body=self._body(),
            data=data.replace("</", "<\\/"),
            kit="".join(map(_file, ("kit.js", *self.shared))),
            script=_file(f"{self.kind}.js").rstrip().removesuffix(";"),
        )


@functools.cache
def _file(name: str) -> str:
    return resources.files("genlib.widgets").joinpath("js", name).read_text(encoding="utf-8")


def escaped(text: object) -> str:
    """``text`` for HTML, within an attribute or without."""
    return html.escape(str(text), quote=True)


def minus(text: object) -> str:
    """``text`` in which every negative number has a minus sign, not a hyphen."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", str(text))


def rounded(value: float, span: float) -> float | int:
    """``value`` as short as it can be written to four digits, of itself and of ``span``: numbers
    that differ by a part of the span, as 10001 and 10002 in [10000, 10010], stay different.
    """
    size = min(abs(value), abs(span)) or abs(value) or 1.0
    short = round(float(value), 3 - math.floor(math.log10(size)))
    return int(short) if short.is_integer() else short


def printed(value: float, span: float, digits: int = 6) -> str:
    """``value`` in so many digits, or in as many as it takes to tell it from others in ``span``."""
    short = f"{value:.{digits}g}"
    enough = abs(float(short) - value) <= span / 100
    return minus(short if enough else rounded(value, span))


def check_words(value: object, name: str) -> str:
    """``value``, if it is a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected words, got {value!r}.")
    return value


def instructions(hint: str, how_to: str) -> str:
    """What to look for in a figure and how to work it, as HTML."""
    look = f'<p class="genlib-hint">{escaped(hint)}</p>' if hint else ""
    return f'{look}<p class="genlib-how">{escaped(how_to)}</p>'
