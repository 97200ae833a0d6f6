"""Sphinx extension: what a page says of itself to search engines and to those who link to it.

A page's description is its own first paragraph. Where the address of the course is known, so is
that of the pages: then they have canonical addresses, a card with a picture, and a site map.
"""

import html
import re
import textwrap
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

CARD = "card.png"
ADDRESS = re.compile(r"https://[\w-]+(\.[\w-]+)+(:\d+)?(/[\w.~-]+)*/?", re.ASCII)
VIEWPORT = re.compile(r'<meta name="viewport"[^>]*>')
LONGEST = 200  # characters of a description
SITE_MAP = """\
<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
{urls}
</urlset>
"""


def find_address(app: Sphinx, config: Config) -> None:
    """The pages' own address: that of the configuration, or GitHub's for the repository.

    Raises
    ------
    ConfigError
        The configuration names what is no address.
    """
    given, repository = config.html_baseurl, urlsplit(config.html_theme_options["repository_url"])
    if given:
        if not ADDRESS.fullmatch(str(given)):
            raise ConfigError(
                f"The book's own address is {given!r}. Expected https://HOST/ or "
                "https://HOST/FOLDER/: mend `html.baseurl` in _config.yml, or leave it out."
            )
        config.html_baseurl = given.rstrip("/") + "/"
    elif repository.netloc == "github.com":
        owner, name = repository.path.strip("/").split("/")
        host = f"{owner.lower()}.github.io"
        folder = "" if name.lower() == host else f"{name}/"  # the owner's own site has none
        config.html_baseurl = f"https://{host}/{folder}"


def describe(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.Node | None
) -> None:
    """Add description and card to the head of a page."""
    title = html.unescape(re.sub("<[^>]*>", "", context.get("title", "")))
    tags = {"og:title": title or app.config.html_title, "og:type": "article"}
    tags["og:site_name"] = app.config.html_title
    text = first_paragraph(doctree) if doctree is not None else ""
    if text:
        tags["og:description"] = tags["description"] = text
    context["baseurl"] = app.config.html_baseurl
    if app.config.html_baseurl:
        tags["og:url"] = f"{app.config.html_baseurl}{page}.html"
        tags["og:image"] = f"{app.config.html_baseurl}_static/{CARD}"
        tags["twitter:card"] = "summary_large_image"
    known = VIEWPORT.sub("", context.get("metatags", ""))  # which the theme declares as well
    context["metatags"] = known + "".join(map(tag, tags, tags.values()))


def defer_scripts(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.Node | None
) -> None:
    """Let no script keep a page from being shown, but for the small one on which inline scripts
    rely. (On the page of the search the theme has scripts that need all others at once.)
    """
    for script in context.get("script_files", ()):
        waits = script.filename and not script.filename.endswith("documentation_options.js")
        if waits and page != "search":
            script.attributes.setdefault("defer", "defer")
        elif page == "search" and script.filename != "_static/course.js":
            script.attributes.pop("defer", None)


def tag(name: str, content: str) -> str:
    """An element of the head."""
    kind = "property" if name.startswith("og:") else "name"
    return f'\n<meta {kind}="{name}" content="{html.escape(content)}" />'


def first_paragraph(doctree: nodes.Node) -> str:
    """The first paragraph of a page's running text, shortened."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section | nodes.document):
            return textwrap.shorten(paragraph.astext(), LONGEST, placeholder="…")
    return ""


def write_maps(app: Sphinx, error: Exception | None) -> None:
    """Write the site map, and tell search engines of it."""
    if error is not None or app.builder.format != "html":
        return
    address, robots = app.config.html_baseurl, "User-agent: *\nAllow: /\n"
    if address:
        urls = [
            f"<url><loc>{address}{page}.html</loc></url>" for page in sorted(app.env.found_docs)
        ]
        Path(app.outdir, "sitemap.xml").write_text(SITE_MAP.format(urls="\n".join(urls)), "utf-8")
        robots += f"Sitemap: {address}sitemap.xml\n"
    Path(app.outdir, "robots.txt").write_text(robots, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", find_address, priority=900)  # after launch has looked at it
    app.connect("html-page-context", describe)
    app.connect("html-page-context", defer_scripts, priority=900)  # all have been added
    app.connect("build-finished", write_maps)
    return {"parallel_read_safe": True}
