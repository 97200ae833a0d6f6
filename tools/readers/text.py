"""Markdown that every notebook program shows, from the MyST in which the course is written.

Roles and directives become links, quotations and plain words. One that has no rule here is an
error: it would stand raw before a reader.
"""

import base64
import mimetypes
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent
from urllib.parse import quote

ASIDE = "margin"
NOTES = ("note", "tip", "hint", "important", "warning", "caution", "attention", "danger", "seealso")
STATEMENTS = ("definition", "theorem", "lemma", "proposition", "corollary", "proof", "remark")
TITLES = {name: name.capitalize() for name in NOTES} | {"seealso": "See also"}
TITLES |= {f"prf:{name}": name.capitalize() for name in (*STATEMENTS, "example", "algorithm")}

FENCE = re.compile(
    r"(?P<indent> *)(?P<fence>:{3,}|`{3,}|~{3,})(?:\{(?P<name>[^}]+)\})?(?P<rest>.*)"
)
OPTION = re.compile(r":([\w-]+):(?: (.*))?")
TARGET = re.compile(r"^\([\w:.-]+\)=\n+|^\{[.#][^}\n]*\}\n", re.MULTILINE)
UNCHANGED = ":/?#@!$&*+,;=%~"  # in an address; parentheses would end a link
INLINE = re.compile(
    r"""
      \$\$ (?P<display>.+?) \$\$ (?:[ ]* \((?P<label>[\w:.-]+)\))?
    | (?P<formula> (?<!\\)\$ (?:[^$\n]|\n(?!\n))+? (?<!\\)\$
        | \\begin\{(?P<environment>\w+\*?)\} .*? \\end\{(?P=environment)\} )
    | (?:\{(?P<role>[a-zA-Z][\w:.-]*)\})? (?P<ticks>`+) (?P<content>.+?) (?P=ticks)
    | (?P<image>!?) \[(?P<text>[^\[\]]*)\] \((?P<address>[^()\s]+)\) (?:\{[^}\n]*\})?
    """,
    re.VERBOSE | re.DOTALL,
)
# What MyST, or only some notebook programs, make something of; sought in what INLINE leaves over.
NO_RULE = {
    "comment": re.compile(r"^[ ]*%.*|<!--.*", re.MULTILINE),
    "break between cells": re.compile(r"^\+\+\+.*", re.MULTILINE),
    "block in a list or a quotation": re.compile(
        r"^[ >*+\d.-]*(?:`{3}|:{3}|~{3})\{.*", re.MULTILINE
    ),
    "target": re.compile(r"^[ >]*\([\w:.-]+\)=.*", re.MULTILINE),
    "list of definitions": re.compile(r"^: +\S.*", re.MULTILINE),
    "substitution": re.compile(r"\{\{.*"),
    "attributes": re.compile(r"\S*[\])$`]\{.*|\{[.#].*|^[ >]*\{[^}\n]*\}[ ]*$", re.MULTILINE),
    "address": re.compile(r"<(?!https?:|mailto:)[a-z]+:[^>\s]*>"),
    "footnote": re.compile(r"\[\^.*"),
    "link": re.compile(r"[^\s\[]*\]\(.*|[^\s\[]*\]\[.*|^[ ]*\[[^\]\n]+\]:.*", re.MULTILINE),
    "HTML": re.compile(r"<\w[^<>]*\b(?:src|href|srcset|data|poster)\s*=.*"),
}
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
EXTERNAL = re.compile(r"(?:https?|mailto):")
MARKUP = re.compile(r"[`$*_\[\]<>{}]")  # of which HTML makes nothing
EXPLICIT = re.compile(r"(?P<text>.+?)\s*<(?P<target>[^<>]+)>", re.DOTALL)


class TextError(ValueError):
    """Text that cannot be written without MyST; the message says what and where."""


@dataclass(frozen=True)
class Target:
    """Where a reference leads: the words or the number that it shows, the page, and the place."""

    text: str
    page: str
    anchor: str = ""


@dataclass(frozen=True)
class Work:
    """A cited work: "Bishop", "2006", and where it is found, if that is known."""

    authors: str
    year: str
    address: str = ""


@dataclass(frozen=True)
class Book:
    """What the book knows of the targets of its references.

    Parameters
    ----------
    targets
        For each of the roles ``doc``, ``ref``, ``numref``, ``term`` and ``eq``, its targets.
    works
        The bibliography, by key.
    site
        The book's address, without a slash at its end; empty if it is not known.
    """

    targets: dict[str, dict[str, Target]] = field(default_factory=dict)
    works: dict[str, Work] = field(default_factory=dict)
    site: str = ""


@dataclass
class Plain:
    """Writes the text cells of one page without MyST.

    Parameters
    ----------
    book
        What its references lead to.
    page
        The page's name, such as ``lessons/03_density_estimation/lesson``.
    root
        The folder from which pages are named, where pictures are looked for.
    """

    book: Book
    page: str
    root: Path
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)

    def cell(self, source: str) -> tuple[str, dict[str, dict[str, str]]]:
        """The text of a cell, and the pictures that go with it as the notebook's attachments.

        Raises
        ------
        TextError
            The text holds a role, a directive or a target that there is no rule for.
        """
        self.attachments = {}
        return self.text(source), self.attachments

    def text(self, source: str) -> str:
        """Blocks and what is in them, in plain Markdown."""
        return "\n".join(self._blocks(source.splitlines()))

    def _blocks(self, lines: list[str]) -> Iterator[str]:
        paragraph: list[str] = []
        rest = iter(lines)
        for line in rest:
            opening = FENCE.fullmatch(line)
            if not opening:
                paragraph.append(line)
                continue
            yield from self._paragraph(paragraph)
            paragraph = []
            body = list(until_closed(rest, opening["fence"]))
            if opening["name"]:
                block = self._directive(opening["name"], opening["rest"].strip(), body)
                yield from (
                    "",
                    indent(block, opening["indent"]),
                    "",
                )  # a block ends at a blank line
            elif opening["fence"].startswith(":"):
                raise TextError(f"{self.page}: {line!r} opens a block without a name.")
            else:
                yield from (line, *body, opening["indent"] + opening["fence"])
        yield from self._paragraph(paragraph)

    def _paragraph(self, lines: list[str]) -> Iterator[str]:
        if lines:
            text = TARGET.sub("", "\n".join(lines) + "\n")[:-1]
            self._check(text, "block in a list or a quotation")  # else taken for code
            yield self._words(text)

    def _words(self, text: str) -> str:
        """What stands in a line."""
        self._check(INLINE.sub(left_over, text), *NO_RULE)
        return INLINE.sub(self._inline, text)

    def _check(self, text: str, *kinds: str) -> None:
        """See that nothing of these kinds is in the text."""
        for kind in kinds:
            if found := NO_RULE[kind].search(text):
                raise self._no_rule(f"{kind} {found[0].strip()!r}")

    def _directive(self, name: str, argument: str, lines: list[str]) -> str:
        options, source = split_options(lines)
        match name:
            case "figure" | "image":
                picture = self.text(f"![{options.get('alt', '')}]({argument})")
                return "\n\n".join(filter(None, [picture, self.text(source)]))
            case "math":
                return self._equation(f"\n{source}\n", options.get("label", ""))
            case "dropdown":
                if MARKUP.search(argument):
                    raise self._no_rule(f"markup in the title {argument!r} of a {{dropdown}}")
                summary = f"<details>\n<summary>{argument}</summary>"
                return f"{summary}\n\n{self.text(source)}\n\n</details>"
        body, argument = self.text(source), self._words(argument)
        if name == ASIDE:
            return quoted("\n\n".join(filter(None, [argument and f"**{argument}**", body])))
        if name == "admonition":
            return quoted(f"**{argument}**\n\n{body}")
        if name not in TITLES:
            raise self._no_rule(f"directive {{{name}}}")
        if name.startswith("prf:"):
            title = f"{TITLES[name]} ({argument})" if argument else TITLES[name]
            return quoted(f"**{title}.**\n\n{body}")
        return quoted(f"**{TITLES[name]}**\n\n" + "\n".join(filter(None, [argument, body])))

    def _inline(self, match: re.Match[str]) -> str:
        if match["display"]:
            return self._equation(match["display"], match["label"])
        if match["role"]:
            return self._role(match["role"], match["content"])
        if match["address"]:
            return self._link(match["image"], self._label(match["text"]), match["address"])
        return match[0]  # a formula or code

    def _equation(self, formula: str, label: str | None) -> str:
        if not label:
            return f"$${formula}$$"
        number = self._target("eq", label).text
        return f"$${formula.rstrip()} \\tag{{{number}}}{formula[len(formula.rstrip()) :]}$$"

    def _role(self, name: str, content: str) -> str:
        if name in ("cite", "cite:p"):
            works = (self._work(key.strip()) for key in content.split(","))
            cited = (hyperlink(f"{work.authors}, {work.year}", work.address) for work in works)
            return f"({'; '.join(cited)})"
        if name == "cite:t":
            works = (self._work(key.strip()) for key in content.split(","))
            return ", ".join(hyperlink(f"{w.authors} ({w.year})", w.address) for w in works)
        explicit = EXPLICIT.fullmatch(content)
        target = self._target(name, explicit["target"] if explicit else content)
        shown = {"eq": f"({target.text})", "term": content}.get(name, target.text)
        return self._leading(explicit["text"] if explicit else shown, target)

    def _label(self, text: str) -> str:
        """The words of a link, in which no other link can stand."""
        words = self._words(text)
        if "](" in CODE.sub("", words):
            raise self._no_rule(f"link within a link, {text!r}")
        return words

    def _link(self, image: str, text: str, address: str) -> str:
        if EXTERNAL.match(address):
            return f"{image}[{text}]({address})"
        if ":" in address.partition("#")[0]:
            raise self._no_rule(f"address {address!r}")
        path, _, anchor = address.partition("#")
        folder = "" if path.startswith("/") else posixpath.dirname(self.page)
        path = posixpath.normpath(posixpath.join(folder, path.lstrip("/"))) if path else ""
        if image:
            return self._picture(text, path)
        if not path:
            return self._leading(text, self._target("ref", anchor))
        page = self._target("doc", posixpath.splitext(path)[0])
        return self._leading(text or page.text, Target(page.text, page.page, anchor))

    def _picture(self, text: str, path: str) -> str:
        file = self.root / path
        if not file.is_file():
            raise TextError(f"{self.page}: there is no picture {path}.")
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self.attachments[file.name] = {kind: base64.b64encode(file.read_bytes()).decode()}
        return f"![{text}](attachment:{file.name})"

    def _leading(self, text: str, target: Target) -> str:
        """Words that lead to a target, as far as there is a way from a notebook."""
        if target.page == self.page:
            return text  # notebooks have no anchors that all programs know
        if self.book.site:
            anchor = f"#{target.anchor}" if target.anchor else ""
            return f"[{text}]({self.book.site}/{target.page}.html{anchor})"
        if target.page.startswith("lessons/"):
            return f"[{text}]({posixpath.relpath(target.page, posixpath.dirname(self.page))}.ipynb)"
        return text

    def _target(self, role: str, name: str) -> Target:
        if role not in self.book.targets:
            raise self._no_rule(f"role {{{role}}}`{name}`")
        name = " ".join(name.split())
        if role == "doc":
            name = self._page(name)
        found = self.book.targets[role]
        if name not in found and name.lower() not in found:
            raise TextError(f"{self.page}: {{{role}}}`{name}` leads nowhere.")
        return found.get(name) or found[name.lower()]

    def _page(self, name: str) -> str:
        known = name in self.book.targets["doc"]
        folder = "" if known or name.startswith("/") else posixpath.dirname(self.page)
        return posixpath.normpath(posixpath.join(folder, name.lstrip("/")))

    def _work(self, key: str) -> Work:
        if key not in self.book.works:
            raise TextError(f"{self.page}: the bibliography has no {key!r}.")
        return self.book.works[key]

    def _no_rule(self, what: str) -> TextError:
        return TextError(
            f"{self.page}: the reader's edition has no rule for the {what}. "
            "Write it in another way, or add a rule to tools/readers/text.py."
        )


def left_over(found: re.Match[str]) -> str:
    """What stands for code, a formula, a role or a link where rules for them have been applied."""
    return "`" if found["ticks"] else ")" if found["address"] else "$"


def until_closed(lines: Iterator[str], fence: str) -> Iterator[str]:
    """The lines of a fenced block; its closing line is taken and not given."""
    for line in lines:
        mark = line.strip()
        if len(mark) >= len(fence) and not mark.strip(fence[0]):
            return
        yield line


def split_options(lines: list[str]) -> tuple[dict[str, str], str]:
    """A directive's options and its body."""
    options = {}
    lines = dedent("\n".join(lines)).strip("\n").splitlines()
    while lines and (option := OPTION.fullmatch(lines[0])):
        options[option[1]] = option[2] or ""
        lines = lines[1:]
    return options, "\n".join(lines).strip("\n")


def quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def hyperlink(text: str, address: str) -> str:
    """A link, whose address may hold parentheses, as those of old DOIs do."""
    return f"[{text}]({quote(address, safe=UNCHANGED)})" if address else text
