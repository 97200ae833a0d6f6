"""Seeds give the data that they have always given: what the lessons store depends on them."""

import pytest
import torch

from genlib import data


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits():
    return data.strokes(50, cache=False)


def test_strokes(digits):
    assert digits.labels.train[:10].tolist() == [4, 9, 7, 6, 7, 9, 1, 7, 3, 0]
    assert digits.factors["variant"].train.sum() == 42
    slant = digits.factors["slant"].test[:3].tolist()
    assert slant == pytest.approx([0.431885, -0.162259, 0.516876], abs=1e-6)
    # A rounded pixel may differ by a level from one processor to another.
    assert digits.train.double().sum().item() == pytest.approx(4142.333, abs=0.2)


def test_mail():
    mail = data.mail(0.5).dataset(200)
    assert mail.train.sum(0)[:8].tolist() == [34, 19, 16, 16, 13, 18, 10, 18]
    assert mail.labels.train.sum() == 62 and mail.train.sum() == 917


@pytest.mark.parametrize(
    ("name", "point", "labels"),
    [
        ("ring", [1.97014, 0.06443], [5, 3, 4, 0, 7, 1, 3, 5]),
        ("grid", [1.97014, 2.06443], [20, 14, 24, 18, 13, 13, 16, 16]),
        ("two_moons", [-1.32309, 0.53572], [1, 1, 0, 0, 1, 1, 1, 1]),
        ("spirals", [-1.61174, 2.39596], [1, 1, 0, 0, 1, 1, 1, 1]),
        ("checkerboard", [-3.14318, -2.48448], [5, 3, 4, 0, 7, 1, 3, 5]),
        ("pinwheel", [-0.44995, -1.76907], [0, 4, 4, 3, 3, 3, 1, 1]),
    ],
)
def test_planar_densities(name, point, labels):
    drawn = getattr(data, name)().dataset(50, seed=1)
    assert drawn.labels.train[:8].tolist() == labels
    assert drawn.train[3].tolist() == pytest.approx(point, abs=1e-4)


def test_binarisations_subsets_and_patches(digits):
    fixed = digits.stochastically_binarized(3)
    # A pixel of another level may, rarely, become another bit.
    assert fixed.train.sum().item() == pytest.approx(4146, abs=2)
    assert fixed.test.sum().item() == pytest.approx(527, abs=2)
    dynamic = digits.dynamically_binarized(seeded(1))
    assert dynamic.train.sum().item() == pytest.approx(4142, abs=2)
    assert digits.subset(5, seed=2).labels.train.tolist() == [3, 1, 7, 4, 9]
    corners = data.patches(torch.arange(600.0).view(1, 20, 30), 2, n=4, generator=seeded(2))
    assert corners[:, 0, 0, 0].tolist() == [366, 21, 258, 121]


@pytest.mark.parametrize("draw", [data.strokes, data.cartoon_faces])
def test_pictures_are_drawn_whatever_the_readers_dtype_is(draw):
    expected = draw(20, size=16, cache=False)
    torch.set_default_dtype(torch.float64)
    try:
        found = draw(20, size=16, cache=False)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.train.dtype == torch.float32 and torch.equal(found.train, expected.train)
    for name, values in expected.factors.items():
        assert torch.equal(found.factors[name].train, values.train)


def test_without_a_generator_torchs_own_is_used():
    torch.manual_seed(2)
    assert data.ring().sample(1)[0].tolist() == pytest.approx([2.17014, 0.05305], abs=1e-4)
    assert data.mail(0.5).sample(3)[0].sum(1).tolist() == [4, 4, 5]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_generator_on_the_gpu_draws_there(digits):
    x = data.ring().sample(1000, torch.Generator("cuda").manual_seed(0))
    assert x.device.type == "cpu" and torch.isfinite(data.ring().log_prob(x)).all()
    bits = digits.to("cuda").dynamically_binarized(torch.Generator("cuda").manual_seed(0)).train
    assert bits.is_cuda and set(bits.unique().tolist()) == {0, 1}
    same = digits.to("cuda").dynamically_binarized(seeded(1)).train.cpu()
    assert torch.equal(same, digits.dynamically_binarized(seeded(1)).train)
