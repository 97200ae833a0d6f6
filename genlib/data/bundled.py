"""Real data that come with libraries the course needs anyway. Nothing here uses the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from genlib.core.random import integers
from genlib.core.validation import check_choice, check_count, check_flag, check_tensor
from genlib.data.dataset import MOST_VALUES, Dataset, Splits

# scikit-learn and scikit-image are imported where they are used: `import genlib` stays quick.

_PHOTOS = {
    "astronaut": "astronaut.png",
    "camera": "camera.png",
    "cell": "cell.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "immunohistochemistry": "ihc.png",
    "moon": "moon.png",
    "motorcycle_left": "motorcycle_left.png",
    "motorcycle_right": "motorcycle_right.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "text": "text.png",
}
_TEXTURES = {"brick": "brick.png", "grass": "grass.png", "gravel": "gravel.png"}


def digits() -> Dataset:
    """Return scikit-learn's handwritten digits: 1,797 images of 8 × 8, 17 grey levels k/16.

    Images are (N, 1, 8, 8) in [0, 1], labels 0 … 9, split 80/10/10 with all classes in proportion.
    They are the test part of E. Alpaydin and C. Kaynak, *Optical recognition of handwritten
    digits*, UCI Machine Learning Repository (1998).
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return _stratified(
        torch.as_tensor(bunch.images / 16, dtype=torch.float32).unsqueeze(1),
        torch.as_tensor(bunch.target, dtype=torch.int64),
        name="digits",
        source="scikit-learn, from the UCI Machine Learning Repository",
        licence="CC BY 4.0",
    )


def faces(*, background: bool = False) -> Dataset:
    """Return scikit-image's 100 faces of 25 × 25 grey pixels, from Labeled Faces in the Wild.

    Images are (N, 1, 25, 25) in [0, 1] (rescaled photographs, so not 256 levels), split 80/10/10.

    Parameters
    ----------
    background
        Add the 100 crops that show no face. Labels are 1 for a face and 0 for background.
    """
    check_flag(background, "background")
    crops = np.load(_wheel() / "lfw_subset.npy", allow_pickle=False)
    both = _stratified(
        torch.as_tensor(crops, dtype=torch.float32).unsqueeze(1),
        (torch.arange(len(crops)) < 100).long(),
        name="faces and background" if background else "faces",
        source="scikit-image, from Labeled Faces in the Wild (Huang et al., 2007)",
        licence="see vis-www.cs.umass.edu/lfw",
    )
    return both if background else both.of_classes([1])


def photos() -> list[str]:
    """Names of the photographs that came with the installed scikit-image."""
    return _present(_PHOTOS)


def textures() -> list[str]:
    """Names of the textures that came with the installed scikit-image."""
    return _present(_TEXTURES)


def photo(name: str, *, grey: bool = False) -> Tensor:
    """Return a photograph or texture, (C, H, W) float32 in [0, 1], 256-level values k/255.

    Parameters
    ----------
    name
        One of `photos` or `textures`.
    grey
        Reduce a colour picture to its luminance, (1, H, W): 0.2125 R + 0.7154 G + 0.0721 B, not
        rounded to 256 levels. Pictures that are grey already stay as they are.

    Raises
    ------
    ValueError
        If there is no such picture; the message lists those there are.
    """
    files = _PHOTOS | _TEXTURES
    check_choice(name, _present(files), "name")
    check_flag(grey, "grey")
    from skimage.io import imread

    pixels = torch.as_tensor(np.atleast_3d(imread(_wheel() / files[name])))
    image = pixels.permute(2, 0, 1).float() / 255
    if grey and len(image) == 3:
        weights = torch.tensor([0.2125, 0.7154, 0.0721], dtype=torch.float64)
        image = torch.einsum("c,chw->hw", weights, image.double()).float()[None]
    return image.contiguous()


def patches(
    image: Tensor,
    size: int = 8,
    *,
    stride: int = 1,
    n: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Cut squares out of a picture: (C, H, W) to (N, C, size, size).

    Parameters
    ----------
    image
        Floating point, (C, H, W).
    stride
        Without ``n``, take all patches whose corner lies on a grid of this spacing, row by row.
    n
        Take this many at random places instead (uniform, with replacement), by ``generator``.

    Raises
    ------
    TypeError, ValueError
        If ``image`` is not a picture, or smaller than ``size``.
    """
    _check_image(image)
    for key, value in {"size": size, "stride": stride}.items():
        check_count(value, key)
    height, width = image.shape[1:]
    if size > min(height, width):
        raise ValueError(f"size: expected at most {min(height, width)}, got {size}.")
    windows = image.unfold(1, size, 1).unfold(2, size, 1)  # (C, rows, columns, size, size), a view
    if n is None:
        return windows[:, ::stride, ::stride].flatten(1, 2).transpose(0, 1).contiguous()
    check_count(n, maximum=MOST_VALUES // (image.shape[0] * size**2))
    row = integers(height - size + 1, (n,), image, generator)
    column = integers(width - size + 1, (n,), image, generator)
    return windows[:, row, column].transpose(0, 1).contiguous()


def colours(image: Tensor) -> Tensor:
    """Pixels of a picture as points in colour space: (C, H, W) to (H·W, C), row by row."""
    _check_image(image)
    return image.flatten(1).T.contiguous()


def text(topic: str | None = None) -> str:
    """English prose about Python, from the reference that comes with Python itself.

    Parameters
    ----------
    topic
        One of the reference's topics, such as ``"lists"``; ``None`` joins them all in alphabetical
        order, some 450,000 characters. The text differs a little between versions of Python.

    Raises
    ------
    ValueError
        If there is no such topic; the message lists those there are.
    """
    from pydoc_data.topics import topics

    if topic is None:
        return "\n".join(topics[name] for name in sorted(topics))
    check_choice(topic, sorted(topics), "topic")
    return topics[topic]


def _wheel() -> Path:
    """Where the pictures lie that came with scikit-image (its own loaders may download)."""
    import skimage

    return Path(skimage.__file__).parent / "data"


def _present(files: dict[str, str]) -> list[str]:
    folder = _wheel()
    return sorted(name for name, file in files.items() if (folder / file).is_file())


def _check_image(image: Tensor) -> None:
    check_tensor(image, "image")
    if image.dim() != 3:
        raise ValueError(f"image: expected shape (C, H, W), got {tuple(image.shape)}.")


def _stratified(images: Tensor, labels: Tensor, **about: str) -> Dataset:
    """Split 80/10/10 at random, once and for all, with the classes in proportion in each part."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    train, held_out = train_test_split(rows, test_size=0.2, stratify=labels, random_state=0)
    valid, test = train_test_split(
        held_out, test_size=0.5, stratify=labels[held_out], random_state=0
    )
    parts = [torch.as_tensor(part) for part in (train, valid, test)]
    return Dataset(
        *(images[part] for part in parts),
        labels=Splits(*(labels[part] for part in parts)),
        **about,
    )
