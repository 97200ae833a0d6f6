"""Sphinx extension: ``<!-- api genlib.models -->`` becomes the documentation of its modules, and
``<!-- models -->`` a table of the models.

Nothing is listed by hand: a module or a model that is added to genlib is in the book.
"""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

from genlib.core.model import Model

MODELS = "<!-- models -->"
QUERIES = ("log_prob", "sample", "encode")
HEAD = """\
| model | family | density | answers | lesson |
|---|---|---|---|---|
"""
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


def models(root: Path) -> str:
    """A table of the models of the registry, in Markdown, by family and name."""
    known = [model for model in Model.registry.values() if model.__module__.startswith("genlib.")]
    known.sort(key=lambda model: (family(model), model.__name__.casefold()))
    return HEAD + "\n".join(row(model, root) for model in known)


def family(model: type[Model]) -> str:
    """The part of genlib.models in which a model stands."""
    return model.__module__.split(".")[2]


def row(model: type[Model], root: Path) -> str:
    answers = (f"`{query}`" for query in QUERIES if query not in model.cannot)
    lesson = root / "lessons" / model.lesson / "lesson.ipynb"
    taught = f"[{int(model.lesson[:2])}](/lessons/{model.lesson}/lesson.ipynb)"
    name = f"{{py:class}}`~{model.__module__}.{model.__qualname__}`"
    cells = [name, family(model), model.density.value, ", ".join(answers)]
    return f"| {' | '.join(cells)} | {taught if lesson.exists() else ''} |"


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = PLACEHOLDER.sub(lambda match: documentation(match[1]), source[0])
    if MODELS in source[0]:
        source[0] = source[0].replace(MODELS, models(Path(app.srcdir)))


def show_constructor(
    app: Sphinx, kind: str, name: str, thing: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Of a class, the signature of its constructor: Sphinx takes that of ``__new__``, with which
    `Model` notes what any constructor was given.
    """
    if kind != "class" or "*args" not in (signature or ""):
        return None
    constructor = inspect.signature(thing.__init__)
    parameters = list(constructor.parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return "", ""  # a base class without a constructor of its own
    own = constructor.replace(parameters=parameters)
    return stringify_signature(own, show_annotation=False), ""


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    app.connect("autodoc-process-signature", show_constructor)
    return {"parallel_read_safe": True}
