"""Sphinx extension: buttons that open a lesson in Binder or Colab, where there is an address.

The address of the repository is the environment variable ``REPOSITORY``, which the workflow that
publishes the book sets, or else ``repository.url`` of ``_config.yml``. Without one there are no
buttons, since they would lead nowhere.
"""

import os

from sphinx.application import Sphinx
from sphinx.config import Config


def offer_buttons(app: Sphinx, config: Config) -> None:
    options = config.html_theme_options
    options["repository_url"] = os.environ.get("REPOSITORY") or options["repository_url"]
    options["use_repository_button"] = bool(options["repository_url"])
    if not options["repository_url"]:
        del options["launch_buttons"]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", offer_buttons)
    return {"parallel_read_safe": True}
