"""A code that is moved in the page gives the image that torch decodes from it."""

import math

import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn

import genlib as gl
from genlib.widgets.network import LARGEST_WEIGHTS
from tests.widgets.hands import attributes, hover

PIXELS = """(() => {
  const canvas = document.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.width, canvas.height, ...data];
})()"""


def network(latents, shape=(1, 6, 5)):
    torch.manual_seed(0)
    size = math.prod(shape)
    first = [nn.Linear(latents, 16), nn.Tanh(), nn.Linear(16, size), nn.Sigmoid()]
    return nn.Sequential(*first, nn.Unflatten(1, shape))


def decoder(net, latents, **settings):
    return gl.widgets.Decoder(net, latents, **{"alt": "an image", "hint": "Move.", **settings})


def seen(browser, channels=1):
    """The picture on the canvas, (C, H, W) in [0, 1]."""
    width, height, *rest = browser.ask(PIXELS)
    colours = torch.tensor(rest).view(height, width, 4)[..., :channels]
    return colours.permute(2, 0, 1) / 255


def close(picture, truth):
    return (picture - truth).abs().max() < 0.6 / 255 + 1e-4  # rounded to 256 levels


def test_it_starts_with_the_image_of_the_start(shown):
    net = network(3)
    browser = shown(decoder(net, 3, start=(0.5, -1.0, 2.0)))
    assert close(seen(browser), net(torch.tensor([[0.5, -1.0, 2.0]]))[0])
    status = browser.ask("document.querySelector('[role=status]').textContent")
    mean = net(torch.tensor([[0.5, -1.0, 2.0]])).mean().item()
    assert status == f"Code (0.50, −1.00, 2.00): mean value {mean:.3f}."


def test_a_small_extent_has_as_many_steps():
    figure = decoder(network(2), 2, extent=3e-6, start=(1.5e-6, 0))
    assert figure.positions == pytest.approx(torch.linspace(-3e-6, 3e-6, 81).tolist(), abs=1e-11)
    assert figure.start == [1.5e-6, 0]


def test_a_slider_moves_its_number(shown):
    net = network(3, (3, 4, 4))
    browser = shown(decoder(net, 3))
    browser.ask(
        """(() => {
          const slider = document.querySelectorAll("input")[1];
          slider.value = 60;
          slider.dispatchEvent(new Event("input", { bubbles: true }));
        })()"""
    )
    assert close(seen(browser, 3), net(torch.tensor([[0.0, 1.0, 0.0]]))[0])


@pytest.mark.parametrize(("event", "pressed"), [("mouse", "mousePressed"), ("touch", "touchStart")])
def test_the_point_in_the_plane_is_dragged(shown, event, pressed):
    net = network(2)
    browser = shown(decoder(net, 2, extent=3.0))
    left, top, side = browser.ask(
        "(b => [b.left, b.top, b.width])(document.querySelector('svg').getBoundingClientRect())"
    )
    x, y = left + 0.75 * side, top + 0.125 * side  # from −3 to 3, upwards
    if event == "mouse":
        for kind, at in ((pressed, left + 1), ("mouseMoved", x), ("mouseReleased", x)):
            send = {"type": kind, "x": at, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            browser.send("Input.dispatchMouseEvent", **send)
    else:
        point = [{"x": x, "y": y}]
        browser.send("Input.dispatchTouchEvent", type=pressed, touchPoints=point)
        browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    code = browser.ask("[...document.querySelectorAll('output')].map(o => Number(o.textContent))")
    assert code == pytest.approx([1.5, 2.25])
    assert close(seen(browser), net(torch.tensor([code]))[0])
    assert attributes(browser, "circle", "cx", "cy") == [[150, 25]]  # of 200, from the upper left
    hover(browser, 0, 20, 20)  # no button, no drag
    assert attributes(browser, "circle", "cx", "cy") == [[150, 25]]


def test_numbers_outside_are_drawn_at_the_ends(shown):
    net = nn.Sequential(nn.Linear(1, 4), nn.Unflatten(1, (1, 2, 2)))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.copy_(torch.tensor([-2.0, -1.0, 0.0, 3.0]))
    browser = shown(decoder(net, 1, values=(-1, 1)))
    assert close(seen(browser), torch.tensor([[[0, 0], [0.5, 1]]]))


def test_the_largest_network_fits_into_a_page(shown):
    net = nn.Sequential(nn.Linear(2, 92), nn.ReLU(), nn.Linear(92, 784), nn.Sigmoid())
    weights = 4 * sum(p.numel() for p in net.parameters())
    assert 290_000 < weights <= LARGEST_WEIGHTS
    figure = decoder(net.append(nn.Unflatten(1, (1, 28, 28))), 2)
    assert len(figure._repr_html_()) < 1.34 * weights + 20_000  # base64, and the scripts
    assert close(seen(shown(figure)), net(torch.zeros(1, 2))[0])


def test_the_caption_is_the_first_label_and_each_number_is_one_tab_stop():
    soup = BeautifulSoup(decoder(network(2), 2)._repr_html_(), "html.parser")
    assert soup.find(attrs={"aria-label": True})["aria-label"] == "an image"
    assert len(soup.select("input, button, select, [tabindex]")) == 2
    assert soup.find(class_="genlib-hint").string == "Move."


@pytest.mark.parametrize(
    ("net", "latents", "settings", "error", "message"),
    [
        (network(2), 3, {}, ValueError, r"net\[0\].* input of shape \(3,\)"),
        (nn.Sequential(), 2, {}, ValueError, "net: expected at least one layer, got none"),
        (network(2), 9, {}, ValueError, "latents: expected at most 8"),
        (network(2), 2.0, {}, TypeError, "latents: expected an integer"),
        (network(2)[:-1], 2, {}, ValueError, r"images \(C, H, W\), .* got \(30,\); end it with"),
        (network(2, (2, 3, 3)), 2, {}, ValueError, r"C being 1 or 3, got \(2, 3, 3\)"),
        (network(2), 2, {"start": (0, 3)}, ValueError, "start: expected 2 numbers from -2 to 2"),
        (network(2), 2, {"start": (0, math.nan)}, ValueError, "start: expected 2 numbers"),
        (network(2), 2, {"start": (0, 0, 0)}, ValueError, "start: expected 2 numbers"),
        (network(2), 2, {"extent": 0}, ValueError, "extent: expected a finite positive"),
        (network(2), 2, {"values": (1, 0)}, ValueError, "values: expected two numbers that rise"),
        (network(2), 2, {"values": (0, math.inf)}, ValueError, "values: expected finite"),
    ],
)
def test_refusals(net, latents, settings, error, message):
    with pytest.raises(error, match=message):
        decoder(net, latents, **settings)
