"""Processes of their own, for what Python or Triton decides at import."""

import os
import subprocess
import sys

from tools import ROOT


def passes_in_the_interpreter(tests):
    """Assert that a file of tests passes, none skipped, where Triton interprets its kernels, which
    it decides at import.
    """
    done = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", tests, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout


def run_python(*arguments, **environment):
    """Run this Python at the root of the project, with further environment variables."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
