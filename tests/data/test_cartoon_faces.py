"""Cartoon faces: factors against what is seen in the pictures, and the cache."""

import importlib
import math

import pytest
import torch
from scipy import stats

import genlib as gl
from genlib.data import cartoon_faces, draw_faces
from genlib.data.cartoon_faces import HAIR

FALSE_ALARM = 1e-6
MODULE = importlib.import_module("genlib.data.cartoon_faces")  # whose name its function has taken


def factors(n=1, **changes):
    plain = {"smile": 0.0, "pose": 0.0, "glasses": 0, "hair": 3, "hair_colour": 1, "skin": 0.3}
    plain |= {"size": 1.0, "background": 0.5} | changes
    return {name: torch.as_tensor(value).expand(n) for name, value in plain.items()}


def face(pixels=64, **changes):
    return draw_faces(factors(**changes), pixels)[0]


@pytest.fixture(scope="module")
def faces():
    return cartoon_faces(4000, size=16, seed=3, cache=False)


class TestData:
    def test_shapes_values_and_splits(self, faces):
        assert faces.train.shape == (3200, 3, 16, 16)
        assert len(faces.valid) == len(faces.test) == 400
        levels = 255 * faces.train[:200]
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
        assert torch.equal(faces.labels.train, faces.factors["hair"].train)

    def test_factors_follow_their_distributions_independently(self, faces):
        n = 4000
        whole = {
            name: torch.cat([part for _, part in splits.items()]).double()
            for name, splits in faces.factors.items()
        }
        bounds = {"smile": (-1, 1), "pose": (-0.6, 0.6), "skin": (0, 1), "size": (0.85, 1.15)}
        bounds["background"] = (0, 1)
        for name, (low, high) in bounds.items():
            uniform = stats.uniform(low, high - low)
            assert stats.kstest(whole[name].numpy(), uniform.cdf).pvalue > FALSE_ALARM / 20
        for name, count in {"hair": 4, "hair_colour": 4}.items():
            observed = whole[name].long().bincount(minlength=count).numpy()
            assert stats.chisquare(observed).pvalue > FALSE_ALARM / 20
        assert stats.binomtest(int(whole["glasses"].sum()), n, 0.4).pvalue > FALSE_ALARM / 20
        table = torch.corrcoef(torch.stack([*whole.values()]))
        off = table[~torch.eye(len(table), dtype=torch.bool)]
        assert off.abs().max() < stats.norm.isf(FALSE_ALARM / 2 / off.numel()) / math.sqrt(n)

    def test_the_seed_decides_and_the_size_does_not(self):
        one, two = (cartoon_faces(20, size=16, seed=1, cache=False) for _ in range(2))
        other = cartoon_faces(20, size=16, seed=2, cache=False)
        large = cartoon_faces(20, size=64, seed=1, cache=False)
        assert torch.equal(one.train, two.train)
        assert not torch.equal(one.train, other.train)
        assert torch.equal(one.factors["smile"].train, large.factors["smile"].train)
        shrunk = torch.nn.functional.avg_pool2d(large.train, 4)
        assert (shrunk - one.train).abs().mean() < 0.02

    def test_pictures_are_what_their_factors_draw(self, faces):
        given = {name: part.test for name, part in faces.factors.items()}
        assert torch.equal(draw_faces(given, 16), faces.test)


class TestWhatIsSeen:
    def test_a_smile_lifts_the_corners_of_the_mouth_and_nothing_else(self):
        happy, sad = face(smile=1.0), face(smile=-1.0)
        changed = (happy - sad).abs().sum(0) > 0.01
        rows = changed.any(1).nonzero()
        assert rows.min() > 38 and rows.max() < 52  # the mouth's part of 64 rows
        red = (happy[0] - happy[1])[36:54]  # lips are redder than skin
        edge = red[:, 25].argmax(), red[:, 32].argmax()
        assert edge[0] < edge[1]  # the corner lies higher than the middle
        red = (sad[0] - sad[1])[36:54]
        assert red[:, 25].argmax() > red[:, 32].argmax()

    def test_the_pose_is_mirrored(self):
        left, right = face(pose=-0.4), face(pose=0.4)
        torch.testing.assert_close(left, right.flip(2), rtol=0, atol=1.01 / 255)
        dark = (right.sum(0) < 0.6)[26:36]  # pupils
        columns = dark.any(0).nonzero().float()
        assert columns.mean() > 33  # positive: to the right

    def test_glasses_are_dark_rings_about_the_eyes(self):
        with_them, without = face(glasses=1), face(glasses=0)
        changed = (with_them - without).abs().sum(0) > 0.05
        assert changed.any()
        assert (with_them <= without + 0.05).all()  # they only darken, but for a darker brow
        rows = changed.any(1).nonzero()
        assert rows.min() > 20 and rows.max() < 42
        assert without[:, 30:33, 30:34].std((1, 2)).max() < 0.02  # no bridge: plain skin

    def test_hair_kinds_differ_and_none_has_none(self):
        drawn = [face(hair=kind) for kind in range(len(HAIR))]
        for a in range(4):
            for b in range(a):
                assert (drawn[a] - drawn[b]).abs().sum() > 10
        falls = [bool((kind - drawn[3])[:, 45:].abs().sum() > 1) for kind in drawn]
        assert falls == [name == "long" for name in HAIR]  # beside the neck
        bald = face(hair=3, hair_colour=0)
        brows = (bald - face(hair=3, hair_colour=2)).abs().sum(0) > 0.02
        assert brows.any(1).nonzero().max() < 30  # only brows have a colour
        assert brows.float().mean() < 0.03

    def test_skin_size_and_background(self):
        light, dark = face(skin=0.0), face(skin=1.0)
        assert (light - dark)[:, 42, 20].min() > 0.3
        background = face()[:, 1, 1][:, None, None]
        small, large = (
            ((face(256, size=size) - background).abs().sum(0) > 0.05)[:140].any(0).sum().item()
            for size in (0.85, 1.15)
        )  # columns from ear to ear, above the clothes
        assert large / small == pytest.approx(1.15 / 0.85, rel=0.02)
        assert (face(background=0.1)[:, 1, 1] - face(background=0.6)[:, 1, 1]).abs().max() > 0.1
        light, clothes = face()[:, 1, 1] - 0.75, face(256)[:, -2, 172] / 0.55 - 0.75
        torch.testing.assert_close(clothes, -light, rtol=0, atol=0.01)  # the opposite hue


class TestATurnedHead:
    """Black hair, turned to the right by half a radian, in 256 pixels."""

    columns = torch.arange(256.0)

    @pytest.fixture
    def turned(self):
        return face(256, pose=0.5, hair=0, hair_colour=0)

    def test_pupils_look_ahead_and_the_eye_that_turns_away_is_narrow(self, turned):
        row = turned[:, 125]
        pupil = row.amax(0) < 0.3
        eye = pupil | (row.amin(0) > 0.95)
        near, far = slice(0, 165), slice(165, 256)
        for side in (near, far):
            centre = self.columns[side][eye[side]].mean()
            assert self.columns[side][pupil[side]].mean() > centre + 1
        assert eye[far].sum() < 0.75 * eye[near].sum()

    def test_the_nose_stands_out(self, turned):
        """In front of the mouth, it moves farther."""
        nose = turned[0, 150, 60:196] < 0.9 * turned[0, 150, 100]
        mouth = (turned[0] - turned[1])[183] > 0.3
        assert self.columns[60:196][nose].mean() > self.columns[mouth].mean() + 2

    def test_the_hairline_turns(self, turned):
        """It is highest in the middle of the face."""
        hair = (turned.amax(0) < 0.3)[:97]  # above the brows
        line = self.columns[:97, None].where(hair, -1.0).amax(0)[70:190]
        assert self.columns[70:190][line == line.min()].mean() > 148


@pytest.mark.parametrize("other", [{"n": 21}, {"size": 17}, {"seed": 1}], ids=str)
def test_the_cache_tells_arguments_apart(other):
    given = {"n": 20, "size": 16, "seed": 0}
    cartoon_faces(**given)
    cached, drawn = (cartoon_faces(**given | other, cache=cache) for cache in (True, False))
    assert torch.equal(cached.train, drawn.train)


def test_another_version_of_the_drawing_is_not_read_from_the_cache(cache, monkeypatch):
    for version in (1, 2):
        monkeypatch.setattr(MODULE, "_VERSION", version)
        cartoon_faces(20, size=16)
        assert len(list(cache.rglob("*.safetensors"))) == version


def test_the_cache_keeps_faces_apart_from_digits(tmp_path, monkeypatch):
    monkeypatch.setenv("GENLIB_CACHE", str(tmp_path))
    first = cartoon_faces(20, size=16)
    gl.data.strokes(20, size=16)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    monkeypatch.setattr(MODULE, "_drawn", None)
    again = cartoon_faces(20, size=16)
    assert torch.equal(first.train, again.train)
    assert torch.equal(first.factors["smile"].test, again.factors["smile"].test)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 9}, ValueError, "n: expected at least 10, got 9"),
        ({"n": 2**30}, ValueError, "n: expected at most"),
        ({"size": 15}, ValueError, "size: expected at least 16, got 15"),
        ({"size": 300}, ValueError, "size: expected at most 256, got 300"),
        ({"seed": -1}, ValueError, "seed: expected at least 0, got -1"),
        ({"cache": 1}, TypeError, "cache: expected True or False, got 1"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        cartoon_faces(**{"n": 20, **arguments})


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"hair": 4}, ValueError, "hair: expected labels in 0 … 3, got 4"),
        ({"hair_colour": -1}, ValueError, "hair_colour: expected labels in 0 … 3"),
        ({"glasses": 2}, ValueError, "glasses: expected labels in 0 … 1"),
        ({"glasses": 1.0}, TypeError, "glasses: expected integer labels"),
        ({"smile": math.nan}, ValueError, "smile: expected finite values, got nan"),
        ({"smile": 2.0}, ValueError, r"smile: expected values in \[-1, 1\], got 2"),
        ({"size": 0.0}, ValueError, r"size: expected values in \[0.85, 1.15\]"),
        ({"skin": torch.tensor(0.5).double()}, TypeError, "skin: the model computes in"),
    ],
)
def test_factors_that_no_face_has_are_refused(changes, error, words):
    with pytest.raises(error, match=words):
        face(**changes)
