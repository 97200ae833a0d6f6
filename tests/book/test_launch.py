"""Buttons that open a notebook elsewhere appear with the repository's address, and only then."""

import importlib
from types import SimpleNamespace

import pytest
from sphinx.errors import ConfigError

from tools import ROOT

ADDRESS = "https://github.com/owner/course"


@pytest.fixture
def launch(monkeypatch):
    monkeypatch.delenv("REPOSITORY", raising=False)
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    return importlib.import_module("launch")


def offered(launch, url):
    """The theme's options, of a book whose configuration names this address."""
    buttons = {"colab_url": "https://colab.example", "binderhub_url": "https://binder.example"}
    options = {"repository_url": url, "launch_buttons": buttons}
    launch.offer_buttons(None, SimpleNamespace(html_theme_options=options))
    return options


def test_with_an_address_there_are_all_buttons(launch):
    options = offered(launch, ADDRESS)
    assert options["use_repository_button"] and len(options["launch_buttons"]) == 2


@pytest.mark.parametrize("url", ["", None])
def test_without_one_there_are_none(launch, url):
    options = offered(launch, url)
    assert not options["use_repository_button"] and "launch_buttons" not in options


def test_the_address_of_the_environment_counts(launch, monkeypatch):
    monkeypatch.setenv("REPOSITORY", ADDRESS)
    assert offered(launch, "")["repository_url"] == ADDRESS
    assert offered(launch, "https://github.com/owner/other")["repository_url"] == ADDRESS


@pytest.mark.parametrize("host", ["GitHub.com", "www.github.com", "WWW.GITHUB.COM"])
def test_github_has_one_name(launch, host):
    options = offered(launch, ADDRESS.replace("github.com", host))
    assert options["repository_url"] == ADDRESS and len(options["launch_buttons"]) == 2


def test_colab_is_offered_only_what_it_can_open(launch):
    options = offered(launch, "https://gitlab.com/owner/course")
    assert list(options["launch_buttons"]) == ["binderhub_url"]


@pytest.mark.parametrize(
    "url",
    [
        "github.com/owner/course",
        "http://github.com/owner/course",
        "git@github.com:owner/course.git",
        "https://github.com",
        "https://github.com/owner",
        "https:///owner/course",
        "https://localhost/owner/course",
        f" {ADDRESS}",
        f"{ADDRESS}\n",
        f"{ADDRESS}/",
        f"{ADDRESS}.git",
        f"{ADDRESS}é",
        f"{ADDRESS}/tree/main",
        f"{ADDRESS}?tab=readme",
        f"{ADDRESS}#readme",
        f"{ADDRESS} (main)",
        f'{ADDRESS}"; rm',
        "the repository",
        True,
        5,
    ],
)
def test_what_is_no_address_is_refused(launch, monkeypatch, url):
    with pytest.raises(ConfigError, match="Expected https://HOST/OWNER/NAME"):
        offered(launch, url)
    if isinstance(url, str):
        monkeypatch.setenv("REPOSITORY", url)
        with pytest.raises(ConfigError, match="REPOSITORY"):
            offered(launch, "")
