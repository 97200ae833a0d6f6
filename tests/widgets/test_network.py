"""Networks in the page put out what torch does, layer by layer and in stacks."""

import json
import math
from importlib import resources

import pytest
import torch
from torch import nn

from genlib.nn.masked_conv import MaskedConv2d
from genlib.widgets.network import LARGEST_WEIGHTS, exported


def scaled(layer, factor):
    layer.weight.data *= factor
    return layer


LAYERS = {
    "linear": ((7,), [nn.Linear(7, 5)]),
    "linear without bias": ((7,), [nn.Linear(7, 5, bias=False)]),
    "convolution": ((3, 9, 8), [nn.Conv2d(3, 4, 3)]),
    "strided convolution": ((2, 9, 8), [nn.Conv2d(2, 3, (3, 2), stride=(2, 3), padding=(1, 0))]),
    "convolution of one pixel": ((2, 4, 5), [nn.Conv2d(2, 3, 1, bias=False)]),
    "padding beyond one stride": ((2, 5, 6), [nn.Conv2d(2, 3, 4, stride=(1, 3), padding=(2, 5))]),
    "padding beyond the other": ((2, 5, 6), [nn.Conv2d(2, 3, 4, stride=(3, 1), padding=(5, 3))]),
    "wide padding": ((2, 3, 4), [nn.Conv2d(2, 3, 2, stride=2, padding=4)]),
    "transposed with gaps": ((2, 3, 4), [nn.ConvTranspose2d(2, 3, 2, stride=4)]),
    "transposed": ((3, 4, 5), [nn.ConvTranspose2d(3, 2, 3)]),
    "strided transposed": (
        (3, 4, 5),
        [nn.ConvTranspose2d(3, 2, (4, 3), stride=(2, 3), padding=(1, 2), output_padding=(1, 2))],
    ),
    "flatten": ((2, 3, 4), [nn.Flatten(), nn.Linear(24, 3)]),
    "unflatten": ((24,), [nn.Unflatten(1, (2, 3, 4)), nn.Conv2d(2, 1, 2)]),
    "relu": ((9,), [nn.ReLU()]),
    "leaky relu": ((9,), [nn.LeakyReLU(0.17)]),
    "sigmoid": ((9,), [nn.Sigmoid()]),
    "tanh": ((9,), [nn.Tanh()]),
    "silu": ((9,), [nn.SiLU()]),
    "gelu": ((9,), [nn.GELU()]),
    "gelu by tanh": ((9,), [nn.GELU("tanh")]),
    "elu": ((9,), [nn.ELU(0.7)]),
    "softplus": ((9,), [nn.Softplus(2.0, threshold=5.0)]),
    "softmax": ((9,), [nn.Softmax(1)]),
    "softmax of large numbers": ((9,), [scaled(nn.Linear(9, 4), 5000), nn.Softmax(1)]),
    "batch normalisation of vectors": ((6,), [nn.BatchNorm1d(6)]),
    "batch normalisation of images": ((3, 4, 5), [nn.BatchNorm2d(3)]),
    "batch normalisation without weights": ((3, 4, 5), [nn.BatchNorm2d(3, affine=False)]),
    "upsampling": ((2, 3, 4), [nn.Upsample(scale_factor=2)]),
    "upsampling by its own name": ((2, 3, 4), [nn.UpsamplingNearest2d(scale_factor=3)]),
    "uneven upsampling": ((2, 3, 4), [nn.Upsample(size=(6, 12))]),
    "dropout": ((9,), [nn.Dropout(), nn.Identity()]),
    "dropout of channels": ((2, 3, 4), [nn.Dropout2d()]),
    "a nested stack": ((4,), [nn.Sequential(nn.Linear(4, 3), nn.Tanh()), nn.Linear(3, 2)]),
}


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """A page that can run networks, and nothing else."""
    scripts = resources.files("genlib.widgets").joinpath("js")
    script = "".join(scripts.joinpath(name).read_text("utf-8") for name in ("kit.js", "network.js"))
    path = tmp_path_factory.mktemp("network") / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><script>{script}</script>", "utf-8")
    browser.open(path.as_uri())
    return browser


def unlike(net):
    """``net`` with running statistics and weights as after training, not as at its start."""
    with torch.no_grad():
        for name, values in net.named_buffers():
            if values.is_floating_point():
                values.copy_(torch.rand_like(values) + ("var" in name) * 0.5)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.affine:
                layer.weight.normal_()
                layer.bias.normal_()
    return net


def agree(page, net, shape, rows=3):
    """Assert that page and torch put out the same for random inputs."""
    x = 3 * torch.randn(rows, *shape)
    layers = json.dumps(exported(net, shape))
    inputs = json.dumps(x.flatten(1).tolist())
    found = page.ask(
        f"(() => {{ const run = kit.network({layers}, {list(shape)});"
        f"return {inputs}.map(x => Array.from(run(x))); }})()"
    )
    truth = net.eval()(x).detach().flatten(1)
    assert torch.tensor(found).shape == truth.shape
    assert (torch.tensor(found) - truth).abs().max() <= 1e-4 * truth.abs().max()


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(page, name):
    shape, layers = LAYERS[name]
    torch.manual_seed(0)
    agree(page, unlike(nn.Sequential(*layers)), shape)


@pytest.mark.parametrize("seed", range(4))
def test_random_stacks(page, seed):
    torch.manual_seed(seed)
    c, h = (int(torch.randint(2, 9, ())) for _ in range(2))
    act = [nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.GELU][seed]
    encoder = [nn.Conv2d(1, c, 3, 2, 1), nn.BatchNorm2d(c), act(), nn.Conv2d(c, 2 * c, 3, 2, 1)]
    middle = [act(), nn.Flatten(), nn.Linear(2 * c * 16, h), nn.BatchNorm1d(h), nn.Tanh()]
    decoder = [nn.Linear(h, 2 * c * 16), act(), nn.Unflatten(1, (2 * c, 4, 4))]
    up = [nn.ConvTranspose2d(2 * c, c, 3, 2, 1, output_padding=1), nn.BatchNorm2d(c), act()]
    last = [nn.Upsample(scale_factor=2), nn.Conv2d(c, 3, 3, padding=1), nn.Sigmoid()]
    agree(page, unlike(nn.Sequential(*encoder, *middle, *decoder, *up, *last)), (1, 16, 16))


def test_a_classifier_as_large_as_is_allowed(page):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 94), nn.ReLU(), nn.Linear(94, 10))
    assert sum(p.numel() for p in net.parameters()) * 4 <= LARGEST_WEIGHTS
    agree(page, net.append(nn.Softmax(1)), (1, 28, 28))


def test_batch_normalisation_far_from_zero_keeps_its_digits(page):
    """A mean of 10⁴ deviations: folded into the bias, it would cost four of seven digits."""
    layer = nn.BatchNorm1d(3, eps=0.0)
    layer.running_mean.fill_(1000.0)
    layer.running_var.fill_(0.01)
    layers = json.dumps(exported(nn.Sequential(layer), (3,)))
    x = [1000.125, 999.875, 1000.5]
    found = page.ask(f"Array.from(kit.network({layers}, [3])({x}))")
    scale = 1 / math.sqrt(layer.running_var[0].item())
    assert found == pytest.approx([(value - 1000) * scale for value in x], rel=1e-6)


def test_work_is_limited_and_counted_by_weights_and_places():
    small = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ConvTranspose2d(2, 1, 2, 2))
    assert len(exported(small, (1, 8, 8))) == 2
    with pytest.raises(ValueError, match=r"20,000,000 multiplications .* got 42,991,616; make"):
        # 16 · 9 and 16 · 2 · 16 weights, each at 256 × 256 places
        wide = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ConvTranspose2d(16, 2, 4, 2, 1))
        exported(wide, (1, 256, 256))


def test_the_network_itself_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).double().train()
    exported(net, (2,))
    assert net.training and net[0].weight.dtype == torch.float64


def test_where_float64_is_the_default():
    torch.set_default_dtype(torch.float64)
    try:
        grown = nn.Unflatten(1, (1, 2, 2)), nn.Upsample(scale_factor=2)
        net = nn.Sequential(nn.Linear(2, 4), *grown)
        assert exported(net, (2,))[-1]["shape"] == [1, 4, 4]
    finally:
        torch.set_default_dtype(torch.float32)


def infinite():
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].bias.data[0] = math.inf
    return net


HOOKED = (
    (0, "register_forward_hook", r"net\[0\], Linear: expected no forward hooks"),
    (0, "register_forward_pre_hook", r"net\[0\], Linear: expected no forward hooks"),
    (1, "register_forward_hook", r"net\[1\], Sequential: expected no forward hooks"),
    (None, "register_forward_hook", r"net, Sequential: expected no forward hooks"),
    (1, "forward", r"net\[1\], Sequential: expected no .* and no forward of its own"),
)


def hooked(number, name):
    """A network of which one part, or the whole, does something else in Python."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Tanh()))
    part = net if number is None else net[number]
    if name == "forward":
        part.forward = torch.zeros_like
    else:
        getattr(part, name)(lambda *_: None)
    return net


@pytest.mark.parametrize(
    ("net", "shape", "error", "message"),
    [
        (nn.Linear(2, 2), (2,), TypeError, "net: expected an nn.Sequential, got Linear"),
        (
            nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.PReLU())),
            (2,),
            TypeError,
            r"net\[0\]\[1\], PReLU.*: expected one of BatchNorm1d, .*2d, or Sequential",
        ),
        (
            nn.Sequential(MaskedConv2d(1, 1, 3, "A")),
            (1, 5, 5),
            TypeError,
            r"net\[0\], MaskedConv2d.*: expected one of BatchNorm1d",
        ),
        (nn.Sequential(nn.Linear(300, 300)), (300,), ValueError, "75,000 numbers .* got 90,300"),
        (infinite(), (2,), ValueError, r"net\[0\], Linear.*: expected finite weights, .* in bias"),
        (nn.Sequential(nn.Linear(2, 2)), (3,), ValueError, r"net\[0\].* input of shape \(3,\)"),
        (
            nn.Sequential(nn.Linear(2, 2)),
            (4, 2),
            ValueError,
            r"a vector, got \(4, 2\); put Flatten",
        ),
        (nn.Sequential(nn.Flatten(0)), (4, 2), ValueError, "keep rows apart"),
        (nn.Sequential(nn.Conv2d(2, 2, 3, groups=2)), (2, 5, 5), ValueError, "expected groups=1"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, dilation=2)), (1, 5, 5), ValueError, "dilation=1"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding="same")), (1, 5, 5), ValueError, "in numbers"),
        (
            nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")),
            (1, 5, 5),
            ValueError,
            "padding with zeros",
        ),
        (nn.Sequential(nn.Softmax(1)), (2, 3), ValueError, "dim=1, on a vector"),
        (
            nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)),
            (2,),
            ValueError,
            "running statistics",
        ),
        (
            nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear")),
            (1, 2, 2),
            ValueError,
            'mode "nearest"',
        ),
        (nn.Sequential(nn.Upsample(size=(3, 3))), (1, 2, 2), ValueError, "a whole factor"),
        (nn.Sequential(nn.ReLU()), (0,), ValueError, "event_shape"),
        (nn.Sequential(), (2,), ValueError, "net: expected at least one layer, got none"),
        (nn.Sequential(nn.Sequential()), (2,), ValueError, "net: expected at least one layer"),
        *((hooked(*where), (2,), ValueError, message) for *where, message in HOOKED),
    ],
)
def test_refusals(net, shape, error, message):
    with pytest.raises(error, match=message):
        exported(net, shape)
