"""Stroke digits: the drawing against brute force, the factors against the images, the cache."""

import shutil

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.stats import binomtest
from sklearn.svm import SVC

import genlib as gl
from genlib.core.saving import read_tree, write_tree
from genlib.data import storage, strokes
from genlib.data import stroke_digits as drawing
from genlib.data.skeletons import SKELETONS

VARIANTS = [variant for variants in SKELETONS for variant in variants]


@pytest.fixture(scope="module")
def page():
    return strokes(4000, seed=3, cache=False)


def everything(dataset, what=None):
    """All splits of the images, of the labels or of one factor, in one tensor."""
    parts = {None: dataset.splits, "labels": dataset.labels}.get(what) or dataset.factors[what]
    return torch.cat([part for _, part in parts.items()])


def same(a, b):
    return all(
        torch.equal(everything(a, what), everything(b, what))
        for what in [None, "labels", *a.factors]
    )


class TestImages:
    def test_shapes_levels_and_splits_are_those_of_mnist(self, page):
        assert [len(part) for _, part in page.splits.items()] == [3200, 400, 400]
        assert page.event_shape == (1, 28, 28) and page.train.dtype == torch.float32
        levels = page.train * 255
        assert torch.equal(levels.round() / 255, page.train)
        assert page.train.min() == 0 and page.train.max() == 1

    def test_every_class_is_equally_often_and_the_order_is_mixed(self, page):
        labels = everything(page, "labels")
        assert labels.bincount().tolist() == [400] * 10
        assert page.labels.test.unique().tolist() == list(range(10))

    def test_ink_is_distributed_as_in_mnist(self, page):
        # MNIST's training file: mean 0.1307, standard deviation 0.3081, 80.9 % of pixels blank,
        # 1.3 % of images with ink (above 0.2) on the border.
        x = everything(page)
        assert x.mean() == pytest.approx(0.1307, abs=0.005)
        assert x.std() == pytest.approx(0.3081, abs=0.008)
        assert (x == 0).float().mean() == pytest.approx(0.809, abs=0.01)
        border = torch.ones(28, 28, dtype=torch.bool)
        border[1:-1, 1:-1] = False
        assert (x[:, 0, border].amax(1) > 0.2).float().mean() < 0.025

    def test_classes_can_be_told_apart_but_not_trivially(self, page):
        flat = page.flat()
        classifier = SVC(C=10, gamma=0.02).fit(flat.train[:2500], flat.labels.train[:2500])
        held_out = torch.cat([flat.valid, flat.test])
        answers = torch.cat([flat.labels.valid, flat.labels.test])
        assert classifier.score(held_out, answers) > 0.95

    def test_no_two_images_are_alike_unless_nothing_varies(self, page):
        assert len(everything(page.flat()).unique(dim=0)) == 4000
        clean = strokes(600, variation=0.0, cache=False)
        keys = torch.stack([everything(clean, "labels"), everything(clean, "variant")], 1)
        assert len(everything(clean.flat()).unique(dim=0)) == len(keys.unique(dim=0))

    def test_shapes_do_not_depend_on_the_size(self, page):
        large = strokes(200, size=84, seed=9, cache=False)
        small = strokes(200, size=28, seed=9, cache=False)
        reduced = torch.nn.functional.avg_pool2d(large.train, 3)
        assert (reduced - small.train).abs().mean() < 0.02
        for name in small.factors:
            assert torch.equal(everything(small, name), everything(large, name))

    def test_the_seed_decides(self):
        assert same(strokes(50, seed=1, cache=False), strokes(50, seed=1, cache=False))
        assert not same(strokes(50, seed=1, cache=False), strokes(50, seed=2, cache=False))
        torch.manual_seed(0)
        expected = torch.rand(1)
        torch.manual_seed(0)
        strokes(50, cache=False)
        assert torch.equal(torch.rand(1), expected)  # the global generator is left alone


class TestFactors:
    def test_shift_moves_the_centre_of_mass(self, page):
        x, shift = everything(page)[:, 0], everything(page, "shift")
        ruler = (torch.arange(28) + 0.5) / 28
        ink = x.sum((1, 2))
        centre = torch.stack([(x.sum(1) * ruler).sum(1), (x.sum(2) * ruler).sum(1)], 1)
        error = centre / ink[:, None] - 0.5 - shift
        # Where a stroke crosses itself it inks only once, so that the two differ a little.
        assert error.mean(0).abs().max() < 0.005 and error.std(0).max() < 0.02

    def test_scale_is_the_size_of_the_box(self, page):
        x, scale = everything(page)[:, 0] > 0.5, everything(page, "scale")
        height = x.any(2).sum(1)
        width = x.any(1).sum(1)
        error = torch.maximum(height, width) - scale * 20
        assert error.abs().median() < 0.5 and error.abs().quantile(0.95) < 1.5

    def test_width_is_the_pens(self, page):
        ones = (everything(page, "labels") == 1) & (everything(page, "variant") == 0)
        x, width = everything(page)[ones, 0], everything(page, "width")[ones] * 28
        # The image of a line: area = length × width + the two half discs at its ends.
        covered = width * 20 * everything(page, "scale")[ones] - (1 - np.pi / 4) * width**2
        assert np.corrcoef(x.sum((1, 2)), covered)[0, 1] > 0.97

    def test_slant_and_rotation_turn_a_line(self, page):
        ones = (everything(page, "labels") == 1) & (everything(page, "variant") == 0)
        x = everything(page)[ones, 0]
        ruler = torch.arange(28) - 13.5
        total = x.sum((1, 2))
        mean_x, mean_y = (x.sum(1) * ruler).sum(1) / total, (x.sum(2) * ruler).sum(1) / total
        dx, dy = ruler - mean_x[:, None], ruler - mean_y[:, None]
        lean = -torch.einsum("nyx,nx,ny->n", x, dx, dy) / torch.einsum("nyx,ny->n", x, dy**2)
        expected = torch.tan(everything(page, "slant")[ones] + everything(page, "rotation")[ones])
        assert np.corrcoef(lean, expected)[0, 1] > 0.9
        assert np.polyfit(expected, lean, 1)[0] == pytest.approx(1, abs=0.15)

    def test_aspect_widens_the_oval(self, page):
        ovals = everything(page, "labels") == 0
        x, aspect = everything(page)[ovals, 0] > 0.5, everything(page, "aspect")[ovals]
        ratio = x.any(1).sum(1) / x.any(2).sum(1)
        assert np.corrcoef(ratio, aspect)[0, 1] > 0.6  # the bent skeleton and the slant add theirs

    def test_variants_come_by_their_weights(self):
        # One binomial test for each variant, a false alarm in at most one run of a million.
        digits = strokes(20_000, size=8, cache=False)
        labels, variant = everything(digits, "labels"), everything(digits, "variant")
        for digit, variants in enumerate(SKELETONS):
            total = sum(v.weight for v in variants)
            for index, v in enumerate(variants):
                count = ((labels == digit) & (variant == index)).sum().item()
                assert binomtest(count, 2000, v.weight / total).pvalue > 1e-6 / len(VARIANTS)


class TestDrawing:
    def test_ink_falls_with_the_distance_to_the_nearest_segment(self):
        generator = torch.Generator().manual_seed(0)
        paths = 20 * torch.rand(5, 2, 7, 2, generator=generator)
        radii = 0.5 + 2 * torch.rand(5, 7, generator=generator)
        pixels = drawing._render(paths, radii, 20)
        for image, (start, end), r in zip(
            pixels.numpy(), paths.double().numpy(), radii.double().numpy(), strict=True
        ):
            grid = np.stack(np.meshgrid(np.arange(20), np.arange(20)), -1)[:, :, None] + 0.5
            u = end - start
            t = np.clip(((grid - start) * u).sum(-1) / (u**2).sum(-1), 0, 1)
            distance = np.linalg.norm(grid - start - t[..., None] * u, axis=-1)
            ink = 0.5 + (1 - (distance / r).min(-1)) * r.mean() / 1.15
            assert np.abs(image - 255 * ink.clip(0, 1)).max() <= 0.51

    @pytest.mark.parametrize("variant", VARIANTS, ids=range(len(VARIANTS)))
    def test_paths_pass_through_their_points_and_are_whole(self, variant):
        path = drawing._pen_path(variant, 400)
        start, end = path.sharp @ path.points
        steps = (end - start).norm(dim=1)
        assert torch.cdist(path.points, torch.cat([start, end])).amin(1).max() < 0.01
        joined = (end[:-1] == start[1:]).all(1)
        assert (~joined).sum() == len(variant.strokes()) - 1
        assert steps.max() < 1.6 * steps.mean()  # corners may be cut short
        for basis in (path.sharp, path.rounded):
            torch.testing.assert_close(basis.sum(-1), torch.ones(2, 400))

    def test_a_smooth_piece_is_the_natural_spline(self):
        variant = SKELETONS[0][0]
        points = np.array(variant.strokes()[0][0])
        knots = np.append(0, np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum())
        spline = CubicSpline(knots, points, bc_type="natural")
        path = drawing._pen_path(variant, 48)
        expected = spline(np.linspace(0, knots[-1], 49))
        np.testing.assert_allclose(path.sharp[0] @ path.points, expected[:-1], atol=1e-6)
        np.testing.assert_allclose(path.sharp[1] @ path.points, expected[1:], atol=1e-6)

    def test_displacements_have_the_stated_covariance(self):
        path = drawing._pen_path(SKELETONS[1][0], 48)  # one stroke
        x = path.points.double()
        apart = torch.cdist(x, x) ** 2
        knots = torch.cat([torch.zeros(1), x.diff(dim=0).norm(dim=1).cumsum(0)])
        along = (knots[:, None] - knots) ** 2
        expected = 0.055**2 * torch.exp(-apart / 0.405) + 0.035**2 * torch.exp(-along / 0.18)
        expected += 0.008**2 * torch.eye(len(x))
        spread = path.spread.double()
        torch.testing.assert_close(spread @ spread.T, expected, atol=1e-8, rtol=1e-4)


class TestCache:
    def test_the_second_call_reads_what_the_first_wrote(self, cache, monkeypatch):
        first = strokes(40)
        assert len(list(cache.rglob("*.safetensors"))) == 1
        monkeypatch.setattr(drawing, "_drawn", None)
        assert same(first, strokes(40))

    def test_every_argument_has_its_own_file(self, cache):
        calls = [{}, {"size": 16}, {"seed": 1}, {"variation": 0.5}, {"n": 50}]
        for arguments in calls:
            strokes(**{"n": 40, **arguments})
        assert len(list(cache.rglob("*.safetensors"))) == len(calls)

    def test_without_the_cache_nothing_is_written(self, cache):
        strokes(40, cache=False)
        assert not cache.exists()

    @pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
    def test_a_damaged_file_is_never_used_and_is_made_anew(self, cache, damage):
        expected = strokes(40)
        (file,) = cache.rglob("*.safetensors")
        content = bytearray(file.read_bytes())
        if damage == "flip":
            content[-1000] ^= 1
        file.write_bytes({"cut": content[:-500], "flip": content, "empty": b""}[damage])
        with pytest.warns(UserWarning, match=f"{file.name}.* drawn anew"):
            assert same(expected, strokes(40))
        assert same(expected, strokes(40))  # and quietly again

    def test_no_bit_of_the_file_is_trusted(self, cache):
        """Every byte of the header, and some of the body, in turn: never used, never in the way."""
        expected = strokes(10, size=8)
        (file,) = cache.rglob("*.safetensors")
        content = file.read_bytes()
        header = 8 + int.from_bytes(content[:8], "little")
        places = [*range(0, header, 7), *range(header, len(content), 501)]
        for i, place in enumerate(places):
            altered = bytearray(content)
            altered[place] ^= 1 << i % 8
            file.write_bytes(altered)
            with pytest.warns(UserWarning, match="drawn anew"):
                assert same(expected, strokes(10, size=8))

    @pytest.mark.parametrize("other", ["arguments", "version", "tree", "list", "model"])
    def test_a_whole_file_of_something_else_is_not_used(self, cache, other, monkeypatch):
        strokes(40, seed=1)
        (foreign,) = cache.rglob("*.safetensors")
        expected = strokes(40)
        (file,) = set(cache.rglob("*.safetensors")) - {foreign}
        tree = read_tree(file)
        if other == "arguments":
            shutil.copy(foreign, file)
        elif other == "version":
            write_tree(file, tree | {"key": tree["key"] | {"version": 0}})
        elif other == "model":
            gl.FVSBN(4).save(file)
        else:
            write_tree(file, {"tree": {"parts": tree["parts"]}, "list": [1, 2]}[other])
        with pytest.warns(UserWarning, match=f"{file.name}.* drawn anew"):
            assert same(expected, strokes(40))
        monkeypatch.setattr(drawing, "_drawn", None)
        assert same(expected, strokes(40))  # and quietly again

    def test_a_cache_out_of_reach_costs_only_time(self, tmp_path, monkeypatch):
        """No system follows a name so long; what a folder without permission does, for anybody."""
        monkeypatch.setenv("GENLIB_CACHE", str(tmp_path / ("a" * 300)))
        with pytest.warns(UserWarning, match="could not be cached in") as caught:
            digits = strokes(40)
        assert len(caught) == 1
        assert same(digits, strokes(40, cache=False))

    def test_a_cache_without_permission_costs_only_time(self, cache, monkeypatch):
        expected = strokes(40)
        (file,) = cache.rglob("*.safetensors")
        content = file.read_bytes()

        def read(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(storage, "read_tree", read)  # root may read everything
        file.chmod(0o444)
        with pytest.warns(UserWarning, match="could not be cached .* read-only"):
            assert same(expected, strokes(40))
        assert file.read_bytes() == content

    def test_a_disk_that_cannot_be_written_costs_only_time(self, cache, monkeypatch):
        def full(path, tree):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(storage, "write_tree", full)
        with pytest.warns(UserWarning, match="could not be cached .*No space left"):
            digits = strokes(40)
        assert same(digits, strokes(40, cache=False))
        assert not list(cache.rglob("*.*"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 9}, ValueError, "n: expected at least 10, got 9"),
        ({"n": 1e4}, TypeError, "n: expected an integer, got 10000.0"),
        ({"size": 7}, ValueError, "size: expected at least 8, got 7"),
        ({"seed": -1}, ValueError, "seed: expected at least 0, got -1"),
        ({"variation": -0.1}, ValueError, r"variation: expected a number in \[0, 2\], got -0.1"),
        ({"variation": float("nan")}, ValueError, "got nan"),
        ({"variation": "a"}, TypeError, "variation: expected a number in"),
        ({"n": 2**40}, ValueError, "n: expected at most 2739137, got 1099511627776"),
        ({"size": 2**40}, ValueError, "size: expected at most 1024"),
        ({"seed": 2**64}, ValueError, "seed: expected at most"),
        ({"cache": "no"}, TypeError, "cache: expected True or False, got 'no'"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        strokes(**arguments)
