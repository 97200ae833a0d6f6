"""Coursework: from a source notebook to assignments, and from what comes back to marks.

`form` knows the rules of a source notebook and `assignment` what is done with one; they are the
ones that speak nbgrader. `sandbox` starts a `player`, which forks a `stage` for every notebook that
nobody has read; what they say to each other is in `records`. `submissions` finds what was handed
in, `marking` gives the points, and `feedback` writes what teacher and students get to see. Whether
the checks are fair is tried on the wrong and right answers that `answers` reads.
"""
