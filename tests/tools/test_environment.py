"""Setting up ``.venv``: only when it has to be, and never half."""

import shutil
import sys

import pytest

from tools import environment


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository of its own, in which every command of the set-up succeeds and is noted."""
    for file in (environment.LOCK, environment.ROOT / "pyproject.toml"):
        shutil.copy(file, tmp_path)
    folder = tmp_path / ".venv"
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "LOCK", tmp_path / environment.LOCK.name)
    monkeypatch.setattr(environment, "ENVIRONMENT", folder)
    monkeypatch.setattr(environment, "PYTHON", folder / "bin" / "python")
    monkeypatch.setattr(environment, "STAMP", folder / "stamp")
    return tmp_path


@pytest.fixture
def commands(root, monkeypatch):
    """The commands of a set-up: noted, and carried out only as far as these tests need them."""
    noted = []

    def run(*command):
        noted.append(" ".join(map(str, command)))
        if "venv" in command:
            environment.PYTHON.parent.mkdir(parents=True)
            environment.PYTHON.symlink_to(sys.executable)
        return 0 if environment.PYTHON.exists() else 1

    monkeypatch.setattr(environment, "run", run)
    return noted


def set_up(commands):
    """Run the set-up and return how many commands it needed to change something."""
    commands.clear()
    environment.main()
    return len([command for command in commands if "import pip" not in command])


def test_the_second_run_does_nothing(commands):
    assert set_up(commands) == 3
    assert set_up(commands) == 0


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("requirements.lock", "torch==", "torch==0."), ("pyproject.toml", "torch>=", "torch>=0.")],
)
def test_changed_dependencies_are_installed(root, commands, file, old, new):
    set_up(commands)
    change(root / file, old, new)
    assert set_up(commands) == 3
    assert set_up(commands) == 0


def test_changed_settings_of_tools_are_nothing_to_install(root, commands):
    set_up(commands)
    change(root / "pyproject.toml", "line-length = ", "line-length = 1")
    assert set_up(commands) == 0


def test_an_environment_whose_python_is_gone_is_made_anew(commands):
    set_up(commands)
    environment.PYTHON.unlink()
    assert set_up(commands) == 3


def test_an_environment_that_was_moved_is_made_anew(commands, monkeypatch):
    set_up(commands)
    moved = environment.ENVIRONMENT.rename(environment.ENVIRONMENT.with_name("elsewhere"))
    monkeypatch.setattr(environment, "ENVIRONMENT", moved)
    monkeypatch.setattr(environment, "STAMP", moved / "stamp")
    assert not environment.is_current()


def test_a_failed_installation_leaves_no_stamp(commands, monkeypatch):
    succeed = environment.run
    monkeypatch.setattr(environment, "run", lambda *command: "-r" in command or succeed(*command))
    with pytest.raises(SystemExit, match=r"pip could not install requirements\.lock"):
        environment.main()
    monkeypatch.setattr(environment, "run", succeed)
    assert not environment.is_current()
    assert set_up(commands) == 3


def test_a_python_that_is_too_old_is_named(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer; .* is Python 3\.9\.18"):
        environment.require_python()


def test_a_newer_python_on_the_path_takes_over(monkeypatch):
    executed = []
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if "12" in name else None)
    monkeypatch.setattr("os.execv", lambda path, arguments: executed.append(path) or sys.exit())
    with pytest.raises(SystemExit):
        environment.require_python()
    assert executed == ["/bin/python3.12"]


def test_a_python_without_ensurepip_is_explained(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        environment.require_python()
