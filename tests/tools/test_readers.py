"""The reader's edition: plain text, a first cell that sees to genlib, nothing that is secret."""

import os
import re
import subprocess
import sys
import textwrap
import zipfile

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.coursework import toy
from tools import ROOT
from tools.readers.bundle import archive, conda_packages
from tools.readers.notebook import Source, commit_of, edition, first_cell
from tools.readers.text import Book, Plain, Target, TextError, Work
from tools.readers.wheel import NAME, build

SITE = "https://course.example"
BISHOP = "https://doi.org/10.1/x"
SOURCE = Source("https://code.example/owner/course", "0" * 40)
HERE, THERE = "lessons/04_here/lesson", "lessons/05_there/lesson"
TARGETS = {
    "doc": {
        HERE: Target("Here", HERE),
        THERE: Target("There", THERE),
        "lessons/04_here/exercises": Target("Exercises", "lessons/04_here/exercises"),
        "book/errata": Target("Errata", "book/errata"),
    },
    "ref": {"part": Target("A part", THERE, "part"), "near": Target("Near", HERE, "near")},
    "numref": {"fig-x": Target("Figure 3", THERE, "fig-x")},
    "term": {"kullback–leibler divergence": Target("KL", "book/glossary", "term-KL")},
    "eq": {"eq-here": Target("7", HERE, "e7"), "eq-there": Target("8.1", THERE, "e8")},
}
WORKS = {
    "bishop": Work("Bishop", "2006", BISHOP),
    "neal": Work("Neal", "1992", "https://doi.org/10.1016/0004-3702(92)90065-6"),
    "oord": Work("van den Oord et al.", "2016a"),
}


def written(text, site="", root=ROOT):
    return Plain(Book(TARGETS, WORKS, site), HERE, root).cell(textwrap.dedent(text))[0].strip("\n")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("as {cite:t}`bishop` says", f"as [Bishop (2006)]({BISHOP}) says"),
        ("{cite:t}`oord,bishop`", f"van den Oord et al. (2016a), [Bishop (2006)]({BISHOP})"),
        ("{cite:t}`neal`", "[Neal (1992)](https://doi.org/10.1016/0004-3702%2892%2990065-6)"),
        ("known {cite}`oord`", "known (van den Oord et al., 2016a)"),
        ("{cite:p}`oord, bishop`", f"(van den Oord et al., 2016a; [Bishop, 2006]({BISHOP}))"),
        ("the {term}`Kullback–Leibler\ndivergence`", "the Kullback–Leibler\ndivergence"),
        ("{term}`its divergence <Kullback–Leibler divergence>`", "its divergence"),
        ("by {eq}`eq-here` and {eq}`eq-there`", "by (7) and [(8.1)](../05_there/lesson.ipynb)"),
        ("{ref}`part`, {ref}`words <near>`", "[A part](../05_there/lesson.ipynb), words"),
        ("{numref}`fig-x`", "[Figure 3](../05_there/lesson.ipynb)"),
        ("{doc}`/book/errata`, {doc}`exercises`", "Errata, [Exercises](exercises.ipynb)"),
    ],
)
def test_a_role_becomes_words_and_links(source, text):
    assert written(source) == text


@pytest.mark.parametrize(
    ("source", "text", "on_the_site"),
    [
        ("[do](exercises.ipynb)", "[do](exercises.ipynb)", "[do](S/L/04_here/exercises.html)"),
        (
            "[x](/lessons/05_there/lesson.ipynb#a)",
            "[x](T.ipynb)",
            "[x](S/L/05_there/lesson.html#a)",
        ),
        (
            "[by {eq}`eq-here`](exercises.ipynb)",
            "[by (7)](exercises.ipynb)",
            "[by (7)](S/L/04_here/exercises.html)",
        ),
        ("[](../05_there/lesson.ipynb)", "[There](T.ipynb)", "[There](S/L/05_there/lesson.html)"),
        ("[errata](/book/errata.md)", "errata", "[errata](S/book/errata.html)"),
        ("[above](#near)", "above", "above"),
        ("[out](https://a.example/b)", "[out](https://a.example/b)", "[out](https://a.example/b)"),
        ("{term}`KL <Kullback–Leibler divergence>`", "KL", "[KL](S/book/glossary.html#term-KL)"),
    ],
)
def test_a_link_leads_to_the_site_or_to_a_notebook_beside_this_one(source, text, on_the_site):
    assert written(source) == text.replace("T.", "../05_there/lesson.")
    assert written(source, SITE) == on_the_site.replace("S/", f"{SITE}/").replace(
        "/L/", "/lessons/"
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("$$\na = b.\n$$ (eq-here)", "$$\na = b. \\tag{7}\n$$"),
        ("so $$a$$ (eq-there)", "so $$a \\tag{8.1}$$"),
        ("```{math}\n:label: eq-here\na\n```", "$$\na \\tag{7}\n$$"),
        (":::{margin}\nBy {eq}`eq-here`.\n\nA.\n:::\nText", "> By (7).\n>\n> A.\n\nText"),
        ("Text\n:::{note}\nMind.\n:::", "Text\n\n> **Note**\n>\n> Mind."),
        (":::{seealso} This.\n:::", "> **See also**\n>\n> This."),
        (":::{tip} By {eq}`eq-here`.\n:::", "> **Tip**\n>\n> By (7)."),
        (":::{margin} By {eq}`eq-here`\nA.\n:::", "> **By (7)**\n>\n> A."),
        (":::{admonition} Why {eq}`eq-here`\n:class: tip\nSo.\n:::", "> **Why (7)**\n>\n> So."),
        (":::{prf:theorem} Bayes\n:label: t\nSo.\n:::", "> **Theorem (Bayes).**\n>\n> So."),
        ("::::{note}\n:::{margin}\nIn.\n:::\n::::", "> **Note**\n>\n>\n> > In."),
        (
            ":::{dropdown} More\nIt is {eq}`eq-here`.\n:::",
            "<details>\n<summary>More</summary>\n\nIt is (7).\n\n</details>",
        ),
        ("- a\n  :::{note}\n  b\n  :::\n- c", "- a\n\n  > **Note**\n  >\n  > b\n\n- c"),
        ("(part)=\n## A part", "## A part"),
        ("{.wide}\nText", "Text"),
        ("[out](https://a.example){.big}", "[out](https://a.example)"),
    ],
)
def test_a_block_becomes_plain_markdown(source, text):
    assert written(source) == text


@pytest.mark.parametrize(
    "source",
    [
        "`{eq}` and ``{term}`x` `` are roles",
        "```python\nx = {eq}  # :::{note}\n$$ (eq-x)\n```",
        "~~~\n[a](b.ipynb)\n~~~",
        "$f[a](x)$ and $\\{a\\}$",
        "> **Before you run.** A guess?\n\n| a | b |\n|---|---|\n| $x$ | `y` |",
        "`{{ x }}`, `<!-- y -->` and `[a][b]`",
        "50 % of {0, 1} and [0, 1], 3 < 4: so [yes] (no)<br>",
        "\\begin{align}\n% a\n\\sqrt[3]{a}\n\\end{align}",
        "<https://x.example> and [write](mailto:a@x.example)",
        "[`code`](https://x.example) and [$x$](https://x.example)",
    ],
)
def test_code_formulas_and_plain_markdown_stay(source):
    assert written(source) == source


def test_an_error_names_the_cell():
    notebook = new_notebook(cells=[new_markdown_cell("a"), new_markdown_cell("+++", id="b-2")])
    with pytest.raises(TextError, match=rf"{HERE}: .*\(In the cell 'b-2'\.\)"):
        edition(notebook, Plain(Book(TARGETS, WORKS), HERE, ROOT), None)


def test_a_term_is_taken_as_it_is_written_if_it_is_there():
    targets = {"term": {"ELBO": Target("E", HERE), "elbo": Target("e", HERE, "e")}}
    plain = Plain(Book(targets, site=SITE), THERE, ROOT)
    assert plain.text("{term}`ELBO`, {term}`elbo`, {term}`Elbo`") == (
        f"[ELBO]({SITE}/{HERE}.html), [elbo]({SITE}/{HERE}.html#e), [Elbo]({SITE}/{HERE}.html#e)"
    )


def test_a_figure_is_put_into_the_notebook(tmp_path):
    picture = tmp_path / "lessons" / "04_here" / "a.svg"
    picture.parent.mkdir(parents=True)
    picture.write_text("<svg/>")
    notebook = new_notebook(
        cells=[new_markdown_cell(":::{figure} a.svg\n:alt: A dot\nOne dot.\n:::")]
    )
    plain = Plain(Book(TARGETS, WORKS), HERE, tmp_path)
    notebook.cells.append(new_markdown_cell("Nothing more: (part)="))
    _, cell, other = edition(notebook, plain, None).cells
    assert "attachments" not in other
    assert cell.source.strip() == "![A dot](attachment:a.svg)\n\nOne dot."
    assert cell.attachments == {"a.svg": {"image/svg+xml": "PHN2Zy8+"}}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{glue}`x`", "no rule for the role {glue}"),
        (":::{tableofcontents}\n:::", "no rule for the directive {tableofcontents}"),
        (":::\nx\n:::", "opens a block without a name"),
        ("{term}`nothing`", "{term}`nothing` leads nowhere"),
        ("$$a$$ (eq-lost)", "{eq}`eq-lost` leads nowhere"),
        ("[x](../06_gone/lesson.ipynb)", "lessons/06_gone/lesson` leads nowhere"),
        ("{cite}`bishop,lost`", "the bibliography has no 'lost'"),
        ("![a dot](gone.png)", "there is no picture lessons/04_here/gone.png"),
        ("[see {eq}`eq-there`](https://x.example)", "link within a link, 'see {eq}`eq-there`'"),
        ("[see {glue}`x`](https://x.example)", "no rule for the role {glue}"),
        ("a {{ sub }}", "no rule for the substitution '{{ sub }}'"),
        ("some [words]{.cls}", "no rule for the attributes '[words]{.cls}'"),
        ("`code`{.python} here", "no rule for the attributes '`{.python} here'"),
        ("{width=50%}\nText", "no rule for the attributes '{width=50%}'"),
        ("$$a$$ {#eq-a}", "no rule for the attributes '{#eq-a}'"),
        ("% for authors", "no rule for the comment '% for authors'"),
        ("a\n<!-- output 03_x a -->", "no rule for the comment '<!-- output 03_x a -->'"),
        ("a\n\n+++\n\nb", "no rule for the break between cells '+++'"),
        ("as <project:#x> says", "no rule for the address '<project:#x>'"),
        ("[x](project:#x)", "no rule for the address 'project:#x'"),
        ('see [x](b.ipynb "title")', "no rule for the link 'x](b.ipynb \"title\")'"),
        ("[a [b]](b.ipynb)", "no rule for the link"),
        ("see [x][r]", "no rule for the link 'x][r]'"),
        ("[r]: https://x.example", "no rule for the link '[r]: https://x.example'"),
        ("a note[^1]", "no rule for the footnote '[^1]'"),
        ('<img src="a.png">', "no rule for the HTML"),
        ('a <a href="a.html">b</a>', "no rule for the HTML"),
        ("term\n: what it is", "no rule for the list of definitions ': what it is'"),
        ("> (part)=\n> ## A", "no rule for the target '> (part)='"),
        ("> :::{note}\n> a\n> :::", "no rule for the block in a list or a quotation"),
        ("- ```{note}\n  a\n  ```", "no rule for the block in a list or a quotation"),
        (":::{dropdown} More on $x$\na\n:::", "no rule for the markup in the title"),
        (":::{margin} {glue}`x`\na\n:::", "no rule for the role {glue}"),
    ],
)
def test_what_would_stand_raw_or_lead_nowhere_is_an_error(source, message):
    with pytest.raises(TextError, match=re.escape(message)) as error:
        written(source)
    assert HERE in str(error.value)


OURS = "class LatentVariableModel: pass"
KERNEL = """
import os, sys
sys.path.insert(0, {folder!r})

class Shell:
    def run_line_magic(self, name, line):
        print(name, line.format(**globals()))
        if {installs!r}:
            before = os.stat({folder!r}).st_mtime_ns
            open({folder!r} + "/genlib.py", "w").write({installs!r})
            os.utime({folder!r}, ns=(before, before))  # as with a coarse clock

get_ipython = Shell
exec({code!r})
print("ready")
"""


def first_cell_runs(folder, source, found, place=None, installs=OURS):
    """Run the first cell in a Python that sees the files ``found``, with a pip that prints."""
    for name, text in found.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    code = TransformerManager().transform_cell(first_cell(source).source)
    script = KERNEL.format(folder=str(folder), code=code, installs=installs)
    alone = [sys.executable, "-I", "-S", "-c", script]
    return subprocess.run(alone, capture_output=True, text=True, cwd=place or folder)


def test_genlib_is_installed_where_it_is_missing(tmp_path):
    run = first_cell_runs(tmp_path, SOURCE, {})
    requirement = f"genlib-course @ git+https://code.example/owner/course@{'0' * 40}"
    assert run.stdout == f'pip install --quiet "{requirement}"\nready\n'


@pytest.mark.parametrize("source", [SOURCE, None])
def test_nothing_is_installed_where_genlib_is(tmp_path, source):
    assert first_cell_runs(tmp_path, source, {"genlib/__init__.py": OURS}).stdout == "ready\n"


@pytest.mark.parametrize("source", [SOURCE, None])
@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            "genlib/__init__.py",
            r"Another genlib is in the way: {folder}/genlib/__init__.py\. Remove",
        ),
        ("genlib.py", r"Another genlib is in the way: {folder}/genlib.py\. Remove"),
        ("genlib/part.py", r"there only in part, in \['{folder}/genlib'\]"),
    ],
)
def test_a_genlib_that_is_not_ours_or_not_whole_is_left_alone(tmp_path, source, found, message):
    """The advice ends with installing ours: the removal of another takes files of ours with it."""
    run = first_cell_runs(tmp_path, source, {found: "x = 1"})
    assert run.stdout == ""
    assert re.search(message.format(folder=tmp_path), run.stderr)
    target = source.requirement if source else NAME
    assert f'%pip install --force-reinstall --no-deps "{target}"' in run.stderr.splitlines()[-1]


def test_without_an_address_genlib_is_installed_from_the_file_above_the_notebook(tmp_path):
    (tmp_path / NAME).touch()
    folder = tmp_path / "lessons" / "a b"
    folder.mkdir(parents=True)
    run = first_cell_runs(tmp_path, None, {}, folder)
    assert run.stdout == f'pip install --quiet "{tmp_path / NAME}"\nready\n'
    assert "git+" not in first_cell(None).source


@pytest.mark.parametrize("source", [SOURCE, None])
def test_what_could_not_be_installed_is_said_to_be_missing(tmp_path, source):
    run = first_cell_runs(tmp_path, source, {}, installs=None)
    last = run.stderr.splitlines()[-1]
    assert last.startswith("ImportError: genlib is missing and could not be installed")
    assert source or f"{NAME} from notebooks.zip beside or above the notebook" in last


def test_the_wheel_holds_all_of_genlib_and_nothing_else(tmp_path):
    first, second = build(tmp_path), build(tmp_path / "other")
    assert first.name == NAME
    assert first.read_bytes() == second.read_bytes()
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "genlib"], capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(first) as wheel:
        found = {name for name in wheel.namelist() if not name.startswith("genlib_course-")}
    assert found == set(tracked.stdout.split())


def test_pip_installs_the_wheel_without_network(tmp_path):
    wheel = build(tmp_path)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", tmp_path / "there", wheel], check=True)
    code = "import genlib; print(genlib.__file__, genlib.Gaussian().fit)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "there")}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert run.stdout.startswith(str(tmp_path / "there" / "genlib")), run.stderr


def test_the_first_cell_knows_genlib_by_a_name_that_it_has():
    import genlib

    assert "LatentVariableModel" in genlib.__all__
    assert (
        max(map(len, first_cell(SOURCE).source.replace(SOURCE.requirement, "").split("\n"))) < 100
    )


def test_an_edition_is_whole_and_its_source_untouched():
    notebook = new_notebook(cells=[new_markdown_cell("{eq}`eq-here`"), new_code_cell("1")])
    before = nbformat.writes(notebook)
    made = edition(notebook, Plain(Book(TARGETS, WORKS), HERE, ROOT), SOURCE)
    assert nbformat.writes(notebook) == before
    assert [cell.source for cell in made.cells[1:]] == ["(7)", "1"]
    assert SOURCE.requirement in made.cells[0].source


def test_what_the_edition_adds_is_not_taken_for_a_students_answer(tmp_path):
    assignment = toy.assignment(tmp_path)
    released = assignment.released()
    released.cells[1].source += " See {eq}`eq-here`."
    made = edition(released, Plain(Book(TARGETS, WORKS), HERE, ROOT), SOURCE)
    assert "See (7)." in made.cells[2].source
    assert assignment.own_cells(made) == []
    made.cells.insert(2, new_code_cell("mine"))
    assert [cell.source for cell in assignment.own_cells(made)] == ["mine"]


def test_the_archive_is_the_branch_that_binder_opens(tmp_path):
    made = edition(new_notebook(), Plain(Book(), HERE, ROOT), SOURCE)
    for name in ("a.zip", "b.zip"):
        archive(tmp_path / name, {HERE: made}, SOURCE)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as bundle:
        names = set(bundle.namelist())
        assert names == {f"{HERE}.ipynb", "README.md", "environment.yml", "postBuild"}
        assert bundle.getinfo("postBuild").external_attr >> 16 & 0o111
        assert SOURCE.requirement in bundle.read("postBuild").decode()


def test_without_an_address_the_archive_brings_genlib_itself(tmp_path):
    archive(tmp_path / "a.zip", {}, None)
    with zipfile.ZipFile(tmp_path / "a.zip") as bundle:
        assert bundle.namelist() == ["README.md", NAME]
        assert NAME in bundle.read("README.md").decode()


def test_binder_gets_what_genlib_needs_with_pytorch_for_cpus():
    packages = conda_packages()
    assert "pytorch-cpu>=2.6" in packages and "scikit-learn>=1.5" in packages
    assert not [name for name in packages if name.startswith(("torch", "triton"))]


def test_the_commit_is_that_of_the_folder(tmp_path):
    git = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@a.example"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True)
    commit = commit_of(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    (tmp_path / ".git").rename(tmp_path / "gone")
    with pytest.raises(ValueError, match="is no clone"):
        commit_of(tmp_path)
