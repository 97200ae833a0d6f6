"""The pages on the library: every part of it, and in it every public module."""

from book._ext.api import PLACEHOLDER, public_modules
from tests.book.toc import sources
from tools import ROOT


def test_every_part_of_the_library_has_its_place_in_the_book():
    placed = [name for page in sources() for name in PLACEHOLDER.findall(page.read_text("utf-8"))]
    files = {path.stem for path in (ROOT / "genlib").glob("[a-z]*.py")}
    folders = {path.parent.name for path in (ROOT / "genlib").glob("*/__init__.py")}
    assert sorted(placed) == sorted(f"genlib.{part}" for part in files | folders)


def test_private_modules_are_left_out():
    modules = public_modules("genlib.kernels")
    assert "genlib.kernels.kde.operator" in modules
    assert not {"genlib.kernels._dispatch", "genlib.kernels.kde._tiles"} & set(modules)


def test_a_module_stands_for_itself():
    assert public_modules("genlib.plots") == ["genlib.plots"]
