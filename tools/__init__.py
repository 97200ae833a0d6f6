"""What the Makefile calls: one module a target."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
