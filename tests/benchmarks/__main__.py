"""``python -m tests.benchmarks [name ...] [--rounds 7]``: measure, print, record in results/."""

import argparse

import torch

from tests.benchmarks import (
    bench_gmm,
    bench_graphical,
    bench_ista,
    bench_kde,
    bench_logistic_mixture,
    bench_nade,
    bench_pairwise_l1,
    bench_pca,
    bench_pixel_sampling,
    bench_rbm,
    bench_transformer,
)
from tests.benchmarks.harness import record

BENCHMARKS = {
    "gmm": bench_gmm.run,
    "kde": bench_kde.run,
    "graphical": bench_graphical.run,
    "ista": bench_ista.run,
    "nade": bench_nade.run,
    "pairwise_l1": bench_pairwise_l1.run,
    "pca": bench_pca.run,
    "transformer": bench_transformer.run,
    "logistic_mixture": bench_logistic_mixture.run,
    "pixel_sampling": bench_pixel_sampling.run,
    "rbm": bench_rbm.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="all by default")
    parser.add_argument("--rounds", type=int, default=7, help="calls of each contender, 5 or more")
    arguments = parser.parse_args()
    if arguments.rounds < 5:
        parser.error(f"--rounds: expected 5 or more, got {arguments.rounds}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name in arguments.names or BENCHMARKS:
        path = record(name, device, BENCHMARKS[name](device, arguments.rounds))
        print(f"recorded in {path.relative_to(path.parents[3])}")


if __name__ == "__main__":
    main()
