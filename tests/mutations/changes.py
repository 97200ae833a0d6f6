"""Rows of a list of mutations that share a lesson, a file and the tests that should notice."""

from tools.mutants import Mutation

# Of `paired`, which lessons 05 and 07 define alike.
PAIRED = (
    (
        "standard error: over n, not its root",
        "gap.std().item() / math.sqrt(len(gap))",
        "gap.std().item() / len(gap)",
        "test_paired_differences_are_those_of_the_t_test",
    ),
    (
        "paired differences: the sign",
        "gap = values - others",
        "gap = others - values",
        "test_paired_differences_are_those_of_the_t_test",
    ),
)


def changes(lesson: str, file: str, tests: str, *rows: tuple[str, ...]) -> list[Mutation]:
    """A mutation for each row: what is wrong with the formula, old text, new text, names of tests.

    The names are looked up in the file ``tests``; without a name, all of it is run.
    """
    return [
        Mutation(
            f"{lesson} {formula}",
            file,
            old,
            new,
            tuple(f"{tests}::{name}" for name in names) or (tests,),
        )
        for formula, old, new, *names in rows
    ]
