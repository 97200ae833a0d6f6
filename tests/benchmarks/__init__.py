"""Speed, memory and accuracy of kernels beside their peers: ``python -m tests.benchmarks``."""
