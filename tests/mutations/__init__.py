"""Changes to the printed formulas, each of which a test must notice: see `tools.mutants`."""

from tests.mutations import (
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
    lesson_10,
)

LESSONS = (
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
    lesson_10,
)
MUTATIONS = [mutation for lesson in LESSONS for mutation in lesson.MUTATIONS]
