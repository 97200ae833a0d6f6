"""Sphinx extension: ``<!-- api genlib.models -->`` becomes the documentation of its modules.

Nothing is listed by hand: a module that is added to genlib is in the book.
"""

import importlib
import pkgutil
import re

from sphinx.application import Sphinx

PLACEHOLDER = re.compile(r"<!-- api (\S+) -->")
SECTION = """\
## `{name}`

```{{eval-rst}}
.. automodule:: {name}
   :members:
   :show-inheritance:
```
"""


def documentation(name: str) -> str:
    """A section for each public module in ``name``, in Markdown."""
    return "\n".join(SECTION.format(name=module) for module in public_modules(name))


def public_modules(name: str) -> list[str]:
    """``name`` itself if it is a module, else the public modules of the package, by name."""
    package = importlib.import_module(name)
    if not hasattr(package, "__path__"):
        return [name]
    children = (child.name for child in pkgutil.iter_modules(package.__path__))
    public = (f"{name}.{child}" for child in children if not child.startswith("_"))
    return [module for child in public for module in public_modules(child)]


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = PLACEHOLDER.sub(lambda match: documentation(match[1]), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
