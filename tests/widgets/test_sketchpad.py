"""What is drawn in the page reaches the network as it is seen, and comes out as torch says."""

import math

import pytest
import torch
from torch import nn

import genlib as gl

SIDE = 10
CANVAS = "document.querySelectorAll('canvas')[%d]"


def classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 5), nn.Softmax(1))


def pad(net=None, **settings):
    given = {"labels": list("vwxyz"), "hint": "Draw.", "alt": "a square", **settings}
    return gl.widgets.Sketchpad(net or classifier(), SIDE, **given)


def mirror(**settings):
    """A network that puts out what is drawn."""
    return pad(nn.Sequential(nn.Identity()), labels=None, **settings)


def seen(browser, which=1):
    """What a canvas shows, by default the output's, (side, side) in [0, 1]."""
    values = browser.ask(
        f"Array.from({CANVAS % which}.getContext('2d').getImageData(0, 0, {SIDE}, {SIDE}).data)"
    )
    return torch.tensor(values).view(SIDE, SIDE, 4)[..., 0] / 255


def status(browser):
    return browser.ask("document.querySelector('[role=status]').textContent")


def press(browser, *keys, shift="false"):
    browser.ask(f"{CANVAS % 0}.focus()")
    for key in keys:
        browser.ask(
            f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown',"
            f"{{key: '{key}', shiftKey: {shift}}}))"
        )


def drag(browser, start, end):
    """Press at one place, in pixels of the drawing, and move to another."""
    left, top, width = browser.ask(
        f"(b => [b.left, b.top, b.width])({CANVAS % 0}.getBoundingClientRect())"
    )
    for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
        at = {"x": left + x * width / SIDE, "y": top + y * width / SIDE}
        send = {"type": kind, "button": "left", "buttons": 1, "clickCount": 1, **at}
        browser.send("Input.dispatchMouseEvent", **send)


def test_the_start_is_drawn_and_classified_as_torch_does(shown):
    torch.manual_seed(1)
    start, net = torch.rand(SIDE, SIDE), classifier()
    browser = shown(pad(net, start=start))
    assert (seen(browser, 0) - start).abs().max() < 0.6 / 255
    p = net(start[None, None])[0].detach()
    best = p.argsort(descending=True)[:3].tolist()
    assert status(browser) == ", ".join(f"{'vwxyz'[i]}: {p[i]:.3f}" for i in best) + "."
    widths = browser.ask("[...document.querySelectorAll('rect')].map(r => r.getAttribute('width'))")
    assert [float(w) / 150 for w in widths] == pytest.approx(p.tolist(), abs=1e-4)


def test_a_line_covers_the_pixels_it_crosses(shown):
    browser = shown(mirror(pen=2.0))
    drag(browser, (2.0, 5.0), (7.0, 5.0))
    drawn = seen(browser)
    assert torch.equal(drawn[4:6, 2:7], torch.ones(2, 5))  # two rows wide, five pixels long
    assert drawn[:4].sum() == drawn[6:].sum() == 0
    area = 2 * 5 + math.pi  # of a band with round ends
    assert drawn.sum().item() == pytest.approx(area, abs=0.5)
    assert torch.equal(drawn, seen(browser, 0))


def test_strokes_are_apart_and_the_mouse_alone_draws_nothing(shown):
    browser = shown(mirror(pen=1.0))
    drag(browser, (1.5, 1.5), (3.5, 1.5))
    drag(browser, (6.5, 8.5), (8.5, 8.5))
    drawn = seen(browser)
    assert drawn.sum().item() == pytest.approx(2 * (2 + math.pi / 4), abs=0.5)  # two round bands
    assert drawn[3:7].sum() == 0  # and nothing from the end of one to the other
    left, top = browser.ask(f"(b => [b.left, b.top])({CANVAS % 0}.getBoundingClientRect())")
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=left + 5, y=top + 5)
    assert torch.equal(seen(browser), drawn)


def test_a_finger_draws(shown):
    browser = shown(mirror(), width=390)
    left, top, width = browser.ask(
        f"(b => [b.left, b.top, b.width])({CANVAS % 0}.getBoundingClientRect())"
    )
    point = [{"x": left + width * 0.35, "y": top + width * 0.65}]
    browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=point)
    browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert seen(browser)[6, 3] > 0.7
    assert browser.ask("document.documentElement.scrollWidth") <= 390


def test_keys_draw_and_say_where_they_are(shown):
    browser = shown(mirror(pen=0.9))
    press(browser, "ArrowLeft", "ArrowUp", " ")
    assert status(browser).endswith(" Column 5, row 5.")
    press(browser, "ArrowDown", "ArrowDown", shift="true")
    drawn = seen(browser)
    assert (drawn[4:7, 4] > 0.7).all()
    assert drawn[:, :4].sum() == drawn[:, 5:].sum() == 0
    press(browser, *["ArrowRight"] * 20)
    assert status(browser).endswith(" Column 10, row 7.")


def test_clear_and_nothing_drawn(shown):
    browser = shown(mirror(start=torch.full((SIDE, SIDE), 0.5)))
    assert status(browser) == "Mean value of the output: 0.500."
    browser.ask("document.querySelector('button').click()")
    assert seen(browser).sum() == 0
    assert status(browser) == "Nothing drawn. Mean value of the output: 0.000."


def test_two_tab_stops_and_the_caption_is_the_first_label(shown):
    browser = shown(pad())
    assert browser.ask("document.querySelectorAll('button, input, [tabindex]').length") == 2
    assert browser.ask("document.querySelector('[aria-label]').ariaLabel") == "a square"


@pytest.mark.parametrize(
    ("net", "settings", "error", "message"),
    [
        (classifier(), {"labels": ["a"]}, ValueError, r"each output .* shape \(5,\), got 1"),
        (classifier(), {"labels": "vwxyz"}, TypeError, "labels: expected a sequence of names"),
        (classifier(), {"labels": [1, 2, 3, 4, 5]}, TypeError, "labels: expected words, got 1"),
        (classifier(), {"labels": None}, ValueError, r"expected to put out images .* got \(5,\)"),
        (classifier()[:-1], {}, ValueError, r"expected probabilities; end it with nn.Softmax\(1\)"),
        (classifier(), {"start": torch.zeros(9, 10)}, ValueError, r"shape \(10, 10\) .* \(9, 10\)"),
        (classifier(), {"start": torch.full((10, 10), 2.0)}, ValueError, "0 to 1, .* 2 to 2"),
        (classifier(), {"start": torch.full((10, 10), math.nan)}, ValueError, "start: .* got nan"),
        (classifier(), {"start": [[0]]}, TypeError, "start: expected a torch.Tensor"),
        (classifier(), {"pen": -1}, ValueError, "pen: expected a finite positive number"),
        (nn.Sequential(nn.Linear(3, 3)), {}, ValueError, r"net\[0\]"),
    ],
)
def test_refusals(net, settings, error, message):
    with pytest.raises(error, match=message):
        pad(net, **settings)


def test_the_side_is_bounded():
    with pytest.raises(ValueError, match="side: expected at most 64, got 65"):
        gl.widgets.Sketchpad(classifier(), 65, alt="a square")
