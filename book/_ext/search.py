"""Sphinx extension: a search that finds the lesson which is about what a reader asks for.

Sphinx's own index knows only whether a word stands on a page, code included. This one counts words
of the prose and leaves code, its output and formulas out; it knows what abbreviations stand for;
and it offers sections, glossary terms and the objects of the library by name. `search.js`, which
Sphinx puts into the page of the search, answers queries from it.
"""

import re
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

import sphinx.search
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.search import IndexBuilder, SearchLanguage
from sphinx.search.en import english_stopwords

# A text that has the phrase is found by its abbreviation, too.
ABBREVIATIONS = {
    "AIS": r"annealed importance sampling",
    "EM": r"expectation[\s–-]+maximi[sz]ation",
    "GAN": r"generative adversarial net(?:work)?s?",
    "HMC": r"hamiltonian monte carlo",
    "KDE": r"kernel density estimat(?:e|es|or|ors|ion)",
    "KL": r"kullback[\s–-]+leibler",
    "LSTM": r"long short-term memory",
    "MADE": r"masked autoencoders?",
    "MCMC": r"markov chain monte carlo",
    "MLE": r"maximum likelihood estimat(?:e|es|or|ors|ion)",
    "PCA": r"principal components?(?: analysis)?",
    "RBM": r"restricted boltzmann machines?",
    "RNN": r"recurrent (?:neural )?networks?",
    "VAE": r"variational auto-?encoders?",
}
PHRASES = {name: re.compile(phrase, re.IGNORECASE) for name, phrase in ABBREVIATIONS.items()}
HOMONYMS = {"made", "frame"}  # words of the language, except in capitals
ACRONYM = re.compile(r"\b[A-Z]{2,}\b")  # what a formula has of words: \\mathrm{KL}
FORMULAS = (nodes.math, nodes.math_block)
UNREAD = (*FORMULAS, nodes.FixedTextElement, nodes.raw, nodes.comment)
TITLE, HEADING = 20, 5  # what a word there counts for, in words of the text
# What a page counts for, by its name: lessons first, the library last.
SHARES = {
    r"lessons/.*/lesson": 1.0,
    r"lessons/.*": 0.5,
    r"book/glossary": 0.8,
    r"book/api/.*": 0.3,
    r"book/(?:notation|part_\d+|index)": 0.5,
    r"book/bibliography": 0.1,
    r".*": 0.25,
}


class Words(SearchLanguage):
    """English, with plurals as the only endings that are taken off: "importance" is no "import"."""

    lang = "en"
    language_name = "English"
    stopwords = english_stopwords
    js_stemmer_code = """\
function Stemmer() {
    this.stemWord = word => word.length < 4 || /(?:ss|us|is)$/.test(word) ? word
        : word.replace(/(?:(?<=..)ies)$/, "y").replace(/s$/, "");
}
"""

    def stem(self, word: str) -> str:
        word = word.lower()
        if len(word) < 4 or word.endswith(("ss", "us", "is")):
            return word
        return re.sub(r"s$", "", re.sub(r"(?<=..)ies$", "y", word))

    def words(self, text: str) -> list[str]:
        """The stems of a text, in order, and the abbreviations of what it spells out."""
        spelled_out = [name for name, phrase in PHRASES.items() for _ in phrase.findall(text)]
        kept = [word for word in self.split(text) if word not in HOMONYMS]
        stems = [self.stem(word) for word in kept + spelled_out]
        return [stem for stem in stems if self.word_filter(stem) and not stem.isdigit()]


class Index(IndexBuilder):
    """The index of the search: `weights` of words on pages, and `names` of places on them.

    ``weights[word][page]`` is how often the word stands in the prose of the page, titles counting
    more. A name is ``[page, text, anchor, words]``; ``shares`` is what each page counts for.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._weights: dict[str, Counter[str]] = {}

    def feed(self, docname: str, filename: str, title: str, doctree: nodes.document) -> None:
        prose = readable(doctree)
        super().feed(docname, filename, title, prose)
        words = self.lang.words
        weights = Counter(words(" ".join(node.astext() for node in prose.findall(nodes.Text))))
        formulas = doctree.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))
        weights.update(
            words(" ".join(" ".join(ACRONYM.findall(node.astext())) for node in formulas))
        )
        for number, heading in enumerate(prose.findall(nodes.title)):
            weights.update((HEADING if number else TITLE) * words(heading.astext()))
        self._weights[docname] = weights

    def load(self, stream: Any, format: Any) -> None:
        super().load(stream, format)
        stream.seek(0)
        frozen = format.load(stream)
        self._weights = {page: Counter() for page in frozen["docnames"]}
        if "weights" not in frozen:
            raise ValueError("an index of another kind, from an earlier build")
        for word, weights in frozen["weights"].items():
            for page, weight in weights.items():
                self._weights[frozen["docnames"][int(page)]][word] = weight

    def freeze(self) -> dict[str, Any]:
        frozen = super().freeze()
        pages = {name: number for number, name in enumerate(frozen["docnames"])}
        weights: dict[str, dict[int, int]] = {}
        for page, number in pages.items():
            for word, weight in self._weights[page].items():
                weights.setdefault(word, {})[number] = weight
        unused = {name: {} for name in ("terms", "titleterms", "objects", "indexentries")}
        return (
            frozen
            | unused
            | {
                "weights": weights,
                "names": self.names(pages),
                "shares": [share(page) for page in pages],
            }
        )

    def names(self, pages: dict[str, int]) -> list[tuple[int, str, str, list[str]]]:
        """Sections, glossary terms and objects of the library, by page."""
        sections = [
            (page, title, anchor, title)
            for page, titles in self._all_titles.items()
            for title, anchor in titles
            if anchor
        ]
        objects = [
            (page, name, anchor, name if kind == "term" else name.rpartition(".")[2])
            for domain in self.env.domains.values()
            for name, _, kind, page, anchor, priority in domain.get_objects()
            if kind == "term" or (priority >= 0 and kind not in ("doc", "module"))
        ]
        return [
            (pages[page], escape(name), anchor, self.lang.words(text))
            for page, name, anchor, text in sorted(sections) + sorted(objects)
            if page in pages
        ]


def readable(doctree: nodes.document) -> nodes.document:
    """A copy without code, what code puts out, and formulas."""
    prose = doctree.deepcopy()
    for node in list(prose.findall(nodes.Element)):
        if isinstance(node, UNREAD) or node.get("nb_element") == "cell_code":
            node.parent.remove(node)
    return prose


def share(page: str) -> float:
    return next(value for name, value in SHARES.items() if re.fullmatch(name, page))


def use_script(app: Sphinx, config: Config) -> None:
    config.html_search_scorer = str(Path(__file__).with_suffix(".js"))


def setup(app: Sphinx) -> dict[str, bool]:
    sphinx.search.IndexBuilder = Index  # the HTML builder offers no other way
    app.add_search_language(Words)
    app.connect("config-inited", use_script)
    return {"parallel_read_safe": True}
