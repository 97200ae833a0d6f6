"""Sampling from pixel models: with a cache, and with a full pass for each pixel.

A full pass costs the same whatever the images hold, so that one is measured, and counted once for
each of the 784 pixels; with ``whole=True`` all of them are run.
"""

from functools import partial

import torch

from genlib.models.autoregressive import GatedPixelCNN, PixelCNN, PixelCNNPP, PixelRNN
from tests.benchmarks.harness import measure, median, rounded, table

MODELS = {
    "PixelCNN": PixelCNN,
    "GatedPixelCNN": GatedPixelCNN,
    "PixelCNNPP": PixelCNNPP,
    "PixelRNN, rows": PixelRNN,
    "PixelRNN, diagonals": partial(PixelRNN, kind="diagonal"),
}
CACHED, FULL = "with a cache", "a full pass for each pixel"


def run(
    device: str,
    rounds: int,
    images: int = 64,
    side: int = 28,
    models: tuple[str, ...] = tuple(MODELS),
    whole: bool = False,
) -> dict[str, object]:
    """Measure each model with its default sizes, print a table, return the record."""
    settings = {
        "images": images,
        "pixels": f"{side} × {side}",
        "dtype": "float32",
        "rounds": rounds,
        "seconds": "median of a batch of images",
        FULL: "all run" if whole else f"seconds of one pass times {side**2}",
        "times faster": f"seconds of {FULL} over seconds {CACHED}",
        "difference": "largest difference of an input of the head, at any pixel",
    }
    results = [_measure(name, device, rounds, images, side, whole) for name in models]
    print(table(results) + "\n")
    return {"settings": settings, "results": results}


def _measure(
    name: str, device: str, rounds: int, images: int, side: int, whole: bool
) -> dict[str, object]:
    torch.manual_seed(0)
    model = MODELS[name](shape=(1, side, side)).to(device).eval()
    noise = model.noise(images)
    drawn = model.draw(noise)

    @torch.no_grad()
    def full() -> None:
        model.draw(noise, cached=False) if whole else model.conditionals(drawn)

    seconds = measure({CACHED: lambda: model.draw(noise), FULL: full}, rounds, device)
    passes = 1 if whole else side**2
    cached, without = median(seconds[CACHED]), passes * median(seconds[FULL])
    return {
        "model": name,
        "parameters": model.free_parameters,
        CACHED: cached,
        FULL: rounded(without, 4),
        "times faster": rounded(without / cached, 3),
        "difference": _difference(model, noise, drawn),
    }


@torch.no_grad()
def _difference(model, noise, drawn) -> float:
    """How far outputs with a cache are from those of one pass over the finished images."""
    places, head, original = [], model.head, model.head.conditionals
    head.conditionals = lambda out, x: places.append(out) or original(out, x)
    try:
        model.draw(noise)
    finally:
        del head.conditionals
    whole = model._out(drawn)
    found = torch.cat(places, 3).view_as(whole)
    return rounded((found - whole).abs().max().item(), 2)
