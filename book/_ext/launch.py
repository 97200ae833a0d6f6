"""Sphinx extension: buttons that open a lesson in Binder or Colab, where there is an address.

The address of the repository is the environment variable ``REPOSITORY``, which the workflow that
publishes the book sets, or else ``repository.url`` of ``_config.yml``. Without one there are no
buttons, since they would lead nowhere, and no line that installs genlib in Colab.
"""

import json
import os
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

INSTALL = """\
:::{{dropdown}} In Colab
Colab does not know genlib. Run this in a cell of its own before the first:

```
%pip install --no-deps git+{url}
```
:::
"""


def offer_buttons(app: Sphinx, config: Config) -> None:
    options = config.html_theme_options
    options["repository_url"] = os.environ.get("REPOSITORY") or options["repository_url"]
    options["use_repository_button"] = bool(options["repository_url"])
    if not options["repository_url"]:
        del options["launch_buttons"]


def tell_how_to_install(app: Sphinx, page: str, source: list[str]) -> None:
    url = app.config.html_theme_options["repository_url"]
    if url and Path(app.env.doc2path(page)).suffix == ".ipynb":
        source[0] = with_install_line(source[0], url)


def with_install_line(notebook: str, url: str) -> str:
    """The notebook, as JSON, with a note after its opening cell."""
    content = json.loads(notebook)
    note = {"cell_type": "markdown", "id": "install", "metadata": {}}
    content["cells"].insert(1, note | {"source": INSTALL.format(url=url)})
    return json.dumps(content)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", offer_buttons)
    app.connect("source-read", tell_how_to_install, priority=900)  # last: after other extensions
    return {"parallel_read_safe": True}
