"""Data: worlds whose truth is known, real data that come along, and benchmarks to download."""

from genlib.data.bundled import colours, digits, faces, patches, photo, photos, text, textures
from genlib.data.cartoon_faces import cartoon_faces, draw_faces
from genlib.data.characters import Text, passages
from genlib.data.dataset import Dataset, Splits
from genlib.data.documents import Documents, docstrings
from genlib.data.download import Messages, binarized_mnist, mnist, sms_spam
from genlib.data.loaders import binarizing_loader, unpaired_loader
from genlib.data.mail import Mail, mail
from genlib.data.patterns import bars_and_stripes
from genlib.data.planar import checkerboard, grid, pinwheel, ring, spirals, two_moons
from genlib.data.stacked import stacked
from genlib.data.storage import DataUnavailableError
from genlib.data.stroke_digits import strokes

__all__ = [
    "DataUnavailableError",
    "Dataset",
    "Documents",
    "Mail",
    "Messages",
    "Splits",
    "Text",
    "bars_and_stripes",
    "binarized_mnist",
    "binarizing_loader",
    "cartoon_faces",
    "checkerboard",
    "colours",
    "digits",
    "docstrings",
    "draw_faces",
    "faces",
    "grid",
    "mail",
    "mnist",
    "passages",
    "patches",
    "photo",
    "photos",
    "pinwheel",
    "ring",
    "sms_spam",
    "spirals",
    "stacked",
    "strokes",
    "text",
    "textures",
    "two_moons",
    "unpaired_loader",
]
