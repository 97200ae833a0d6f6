"""Changes to the printed formulas, each of which a test must notice: see `tools.mutants`."""

from tools.mutants import Mutation

MUTATIONS: list[Mutation] = []
