"""The reader's edition: the notebooks that the book offers for download, in Colab and in Binder.

A lesson in the repository is written for the book and needs a copy of the course. Its reader's
edition can be carried anywhere: it installs genlib where that is missing, is plain Markdown without
MyST, and holds neither solutions nor hidden tests.
"""
