"""Tests of data run without a network, and with a cache and a data folder of their own."""

import socket

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder, no ``$GENLIB_DATA``, and no way out of this machine."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GENLIB_CACHE", str(folder))
    monkeypatch.delenv("GENLIB_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    resolve = socket.getaddrinfo

    def only_here(host, *args, **kwargs):
        if host != "127.0.0.1":
            raise socket.gaierror(f"no network in tests: {host}")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    return folder
