"""Coursework: from a source notebook to assignments, and from what comes back to marks.

`assignment` knows the notebook's form and is the one that speaks with nbgrader. `sandbox` starts
`player`, which runs notebooks that nobody has read. `marking` brings the two together, and
`feedback` writes what teacher and student get to see.
"""
