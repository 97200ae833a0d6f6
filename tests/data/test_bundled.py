"""Data that come with libraries: values against the libraries' own, and no network."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2gray
from sklearn.datasets import load_digits
from sklearn.feature_extraction.image import extract_patches_2d

from genlib import data


class TestDigits:
    def test_they_are_scikit_learns_in_another_order(self):
        digits = data.digits()
        assert digits.event_shape == (1, 8, 8)
        assert [len(part) for _, part in digits.splits.items()] == [1437, 180, 180]
        ours = np.concatenate(
            [
                np.column_stack([part.flatten(1) * 16, getattr(digits.labels, name)])
                for name, part in digits.splits.items()
            ]
        )
        theirs = np.column_stack([load_digits().data, load_digits().target])
        assert np.array_equal(np.unique(ours, axis=0), np.unique(theirs, axis=0))

    def test_classes_are_in_proportion_and_the_split_is_fixed(self):
        digits = data.digits()
        shares = [part.bincount() / len(part) for _, part in digits.labels.items()]
        assert (shares[0] - shares[1]).abs().max() < 0.01
        assert (shares[0] - shares[2]).abs().max() < 0.01
        assert torch.equal(digits.test, data.digits().test)


class TestFaces:
    def test_a_hundred_faces(self):
        faces = data.faces()
        assert faces.event_shape == (1, 25, 25)
        assert [len(part) for _, part in faces.splits.items()] == [80, 10, 10]
        assert faces.labels.train.unique().tolist() == [1]

    def test_background_adds_a_hundred_crops(self):
        both = data.faces(background=True)
        assert [part.sum().item() for _, part in both.labels.items()] == [80, 10, 10]
        assert [len(part) for _, part in both.splits.items()] == [160, 20, 20]


class TestPhotos:
    @pytest.mark.parametrize("name", data.photos() + data.textures())
    def test_every_listed_picture_opens_without_a_network(self, name):
        image = data.photo(name)
        assert image.dtype == torch.float32 and image.shape[0] in (1, 3)
        levels = image * 255
        assert torch.equal(image, levels.round() / 255)
        assert image.min() >= 0 and image.max() <= 1
        assert image.max() - image.min() > 0.4

    def test_the_pictures_the_course_uses_are_there(self):
        assert {"astronaut", "camera", "chelsea", "coffee"} <= set(data.photos())
        assert data.textures() == ["brick", "grass", "gravel"]
        assert data.photo("coffee").shape == (3, 400, 600)

    def test_grey_is_scikit_images_luminance(self):
        colour, grey = data.photo("chelsea"), data.photo("chelsea", grey=True)
        expected = rgb2gray(colour.permute(1, 2, 0).double().numpy())
        np.testing.assert_allclose(grey[0], expected, atol=1e-6)
        assert data.photo("page", grey=True).max() <= 1 and data.photo("page").shape[0] == 1
        assert data.photo("rocket", grey=True).max() <= 1

    def test_an_unknown_name_lists_the_known(self):
        with pytest.raises(ValueError, match=r"name: expected one of 'astronaut', .*, got 'lena'"):
            data.photo("lena")

    def test_a_picture_missing_from_the_wheel_is_unknown_too(self, monkeypatch, tmp_path):
        monkeypatch.setattr("genlib.data.bundled._wheel", lambda: tmp_path)
        assert data.photos() == []
        with pytest.raises(ValueError, match="got 'coffee'"):
            data.photo("coffee")


class TestPatches:
    def test_all_patches_are_scikit_learns(self):
        image = torch.rand(3, 9, 7)
        expected = extract_patches_2d(image.permute(1, 2, 0).numpy(), (4, 4))
        np.testing.assert_array_equal(data.patches(image, 4).permute(0, 2, 3, 1), expected)

    def test_stride(self):
        image = torch.arange(48.0).view(1, 6, 8)
        assert data.patches(image, 2, stride=2).shape == (12, 1, 2, 2)
        assert data.patches(image, 2, stride=2)[1, 0].tolist() == [[2, 3], [10, 11]]
        assert data.patches(image, 3, stride=4).shape == (2, 1, 3, 3)

    def test_random_patches_come_from_the_picture_by_the_generator(self):
        image = torch.rand(2, 20, 30)
        draw = [
            data.patches(image, 5, n=50, generator=torch.Generator().manual_seed(seed))
            for seed in (0, 0, 1)
        ]
        assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])
        everything = {tuple(patch) for patch in data.patches(image, 5).flatten(1).tolist()}
        assert {tuple(patch) for patch in draw[0].flatten(1).tolist()} <= everything

    def test_refusals(self):
        image = torch.rand(1, 6, 8)
        with pytest.raises(ValueError, match="size: expected at most 6, got 7"):
            data.patches(image, 7)
        with pytest.raises(ValueError, match=r"image: expected shape \(C, H, W\), got \(6, 8\)"):
            data.patches(image[0], 2)
        with pytest.raises(TypeError, match=r"image: .*uint8"):
            data.patches((255 * image).byte(), 2)
        with pytest.raises(ValueError, match="stride: expected at least 1"):
            data.patches(image, 2, stride=0)
        with pytest.raises(ValueError, match="n: expected at least 1"):
            data.patches(image, 2, n=0)
        with pytest.raises(ValueError, match="n: expected at most 536870912, got"):
            data.patches(image, 2, n=2**30)
        with pytest.raises(
            TypeError, match=r"generator: expected a torch.Generator or None, got 3"
        ):
            data.patches(image, 2, n=2, generator=3)


def test_colours_are_the_pixels_row_by_row():
    image = torch.rand(3, 4, 5)
    points = data.colours(image)
    assert points.shape == (20, 3)
    assert torch.equal(points[7], image[:, 1, 2])
    with pytest.raises(ValueError, match="image: expected shape"):
        data.colours(points)


class TestText:
    def test_it_is_long_english_and_always_the_same(self):
        text = data.text()
        assert len(text) > 300_000 and text.count(" the ") > 3000
        assert text == data.text()

    def test_one_topic(self):
        assert data.text("lists") in data.text()
        with pytest.raises(ValueError, match=r"topic: expected one of .*'lists', .*, got 'cheese'"):
            data.text("cheese")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.faces(background="no"), TypeError, "background: expected True or False"),
        (lambda: data.photo("coffee", grey="no"), TypeError, "grey: expected True or False, got"),
        (lambda: data.photo(["coffee"]), ValueError, r"name: expected .*, got \['coffee'\]"),
        (lambda: data.text(["lists"]), ValueError, r"topic: expected one of .*, got \['lists'\]"),
        (lambda: data.colours(torch.zeros(1, 2, 2, device="meta")), ValueError, "image: .* meta"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
