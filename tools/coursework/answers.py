"""Answers that graders must tell apart, written as changes to the notebook's own solutions.

Beside each `exercises.ipynb` stands a `wrong_answers.py` with two tables, ``WRONG`` and ``RIGHT``.
Both map the exercises that code checks to changes by name: a wrong answer is named after its
misconception, a right one after the way in which it is written. A change is

- a pair ``("old", "new")``: one place of the exercise's solution cell, and what stands there
  instead;
- a list of such pairs, all of them places of the solution as the notebook has it, in any order; or
- a string, a whole cell, where the answer has little in common with the solution.

Every "old" must stand exactly once in the solution, and no two of them may overlap. So nothing is
changed but what was meant; and whoever rewrites a solution hears which answers no longer fit it.
"""

import runpy

from tools.coursework.assignment import Assignment

TABLES = "wrong_answers.py"

Pair = tuple[str, str]
Change = Pair | list[Pair] | str
Sources = dict[str, dict[str, str]]


class AnswersError(ValueError):
    """A table of answers that does not fit its notebook; the message says where and why."""


def wrong_and_right(assignment: Assignment) -> tuple[Sources, Sources]:
    """What the cells of the wrong and of the right answers hold, by exercise and name.

    Raises
    ------
    AnswersError
        If a change names no exercise, is not of one of the three forms, names a place that the
        solution does not have exactly once, or leaves the solution as it is.
    """
    tables = runpy.run_path(str(assignment.path.with_name(TABLES)))
    return cells(assignment, tables["WRONG"]), cells(assignment, tables["RIGHT"])


def cells(assignment: Assignment, table: dict[str, dict[str, Change]]) -> Sources:
    """What the cells of one table's answers hold."""
    solutions = assignment.solutions()
    sources: Sources = {}
    for exercise, changes in table.items():
        if exercise not in solutions:
            raise AnswersError(
                f"{assignment.lesson}: code checks no exercise {exercise!r}, but {[*solutions]}"
            )
        sources[exercise] = {}
        for name, change in changes.items():
            try:
                sources[exercise][name] = changed(solutions[exercise], change)
            except AnswersError as error:
                where = f"{assignment.lesson}, exercise {exercise!r}, answer {name!r}"
                raise AnswersError(f"{where}: {error}") from None
    return sources


def changed(solution: str, change: Change) -> str:
    """The cell of one answer."""
    if isinstance(change, str):
        source = change
    else:
        source = substituted(solution, change if isinstance(change, list) else [change])
    if source == solution:
        raise AnswersError("it is the solution, unchanged")
    return source


def substituted(solution: str, pairs: list[Pair]) -> str:
    """The solution with each pair's "new" in the place of its "old", all at once."""
    source, end = "", 0
    for start, old, new in sorted((place(pair, solution), *pair) for pair in pairs):
        if start < end:
            raise AnswersError(f"{old!r} begins inside another place that is changed")
        source += solution[end:start] + new
        end = start + len(old)
    return source + solution[end:]


def place(pair: Pair, solution: str) -> int:
    """Where the pair's "old" begins, which must be in one place only."""
    match pair:
        case (str(old), str()):
            places = [i for i in range(len(solution)) if solution.startswith(old, i)]
        case _:
            raise AnswersError(
                "a change is a pair of strings, a list of such pairs, or a whole cell as a string, "
                f"not {pair!r}"
            )
    if len(places) != 1:
        raise AnswersError(f"{old!r} should stand once in the solution, found {len(places)} times")
    return places[0]
