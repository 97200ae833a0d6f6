"""The six distances in the page are the integrals, and a descent ends in a minimum."""

import math
import time

import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm

import genlib as gl
from tests.widgets.hands import corners, drag, focus, numbers, place, press, said, set_control

NAMES = ["forward KL", "reverse KL", "total variation", "Jensen–Shannon", "Wasserstein", "MMD²"]
VALUES = "[...document.querySelectorAll('tbody td:nth-child(2)')].map(cell => +cell.textContent)"
STARTS = [(4.0, -2.0, 1.0), (4.0, 0.0, 1.0), (1.5, 0.7, 0.45), (8.0, -3.0, 3.1)]


def truth(separation, mean, deviation):
    """By quadrature, and in closed form for the kernel's distance."""
    parts = [(0.65, -separation / 2, 0.6), (0.35, separation / 2, 0.6)]
    p = lambda x: sum(w * norm.pdf(x, m, s) for w, m, s in parts)  # noqa: E731
    q = lambda x: norm.pdf(x, mean, deviation)  # noqa: E731

    def integral(f):
        return quad(f, -16, 16, limit=500, points=[-separation / 2, separation / 2, mean])[0]

    def log_p(x):
        logs = [math.log(w) + norm.logpdf(x, m, s) for w, m, s in parts]
        return max(logs) + math.log(sum(math.exp(each - max(logs)) for each in logs))

    def kl_to_middle(a):
        return lambda x: a(x) * math.log(2 * a(x) / (p(x) + q(x))) if a(x) > 0 else 0.0

    def gap_of_distribution_functions(x):
        return sum(w * norm.cdf(x, m, s) for w, m, s in parts) - norm.cdf(x, mean, deviation)

    signed = [*parts, (-1, mean, deviation)]
    mmd = sum(
        w * v * math.sqrt(2 * math.pi) * norm.pdf(m - n, 0, math.sqrt(s**2 + t**2 + 1))
        for w, m, s in signed
        for v, n, t in signed
    )
    return [
        integral(lambda x: p(x) * (log_p(x) - norm.logpdf(x, mean, deviation))),
        integral(lambda x: q(x) * (norm.logpdf(x, mean, deviation) - log_p(x))),
        integral(lambda x: abs(p(x) - q(x))) / 2,
        integral(lambda x: (kl_to_middle(p)(x) + kl_to_middle(q)(x)) / 2),
        integral(lambda x: abs(gap_of_distribution_functions(x))),
        mmd,
    ]


@pytest.mark.parametrize("start", STARTS)
def test_values_at_the_start_are_the_integrals(start):
    found = gl.widgets.Distances(*start).distances()
    assert list(found) == NAMES
    assert list(found.values()) == pytest.approx(truth(*start), abs=1e-3)


@pytest.mark.parametrize("start", STARTS)
def test_values_in_the_page_are_those_at_the_start_to_the_digits_shown(shown, start):
    figure = gl.widgets.Distances(*start)
    found = shown(figure).ask(VALUES)
    assert found == pytest.approx(list(figure.distances().values()), abs=5.1e-4)


def test_a_choice_of_distances_is_shown_and_descended_by(shown):
    figure = gl.widgets.Distances(names=["Wasserstein", "reverse KL"])
    every = gl.widgets.Distances().distances()
    assert figure.distances() == {name: every[name] for name in ("reverse KL", "Wasserstein")}
    browser = at_once(shown(figure))
    assert browser.ask(VALUES) == pytest.approx(list(figure.distances().values()), abs=5.1e-4)
    (_, mean, deviation), (_, middle, wide) = (ended(browser, number) for number in range(2))
    assert (mean, deviation) == pytest.approx((-2, 0.6), abs=0.02)
    assert middle > -1 and wide > 1.9


def test_dragging_the_gaussian_and_keys_and_sliders_change_all_values(shown):
    figure = gl.widgets.Distances(4.0, 0.0, 1.0)
    browser = shown(figure)
    peak = browser.ask(
        "(c => [+c.getAttribute('cx'), +c.getAttribute('cy')])"
        "(document.querySelector('circle[data-part=mean]'))"
    )
    unit = (480 - 24) / 16
    drag(browser, 0, peak, (peak[0] + unit, peak[1]))
    assert browser.ask(VALUES) == pytest.approx(truth(4.0, 1.0, 1.0), abs=0.02)
    focus(browser)
    press(browser, "ArrowLeft", "ArrowDown", "ArrowRight", "ArrowRight")
    assert browser.ask(VALUES) == pytest.approx(truth(4.0, 0.95, 1.1), abs=0.02)
    set_control(browser, "separation", 4)
    assert browser.ask(VALUES) == pytest.approx(truth(2.0, 0.95, 1.1), abs=0.02)
    assert said(browser).startswith("Separation 2; mean 0.950, standard deviation 1.100.")
    set_control(browser, "mean", 60)
    assert browser.ask(VALUES) == pytest.approx(truth(2.0, 0.0, 1.1), abs=0.02)


def peak(browser):
    """Where the dot on the peak is, in the drawing."""
    return browser.ask(
        "(c => [+c.getAttribute('cx'), +c.getAttribute('cy')])"
        "(document.querySelector('circle[data-part=mean]'))"
    )


def press_button(browser, name):
    browser.ask(f"document.querySelector(\"[data-action='{name}']\").click()")


def position(browser):
    """Separation, mean and deviation, as the figure says them."""
    return numbers(said(browser))[:3]


def test_what_it_says_is_true_after_every_move(shown):
    browser = shown(gl.widgets.Distances())
    assert position(browser) == [4, -2, 1]
    ended(browser, 0)
    at = peak(browser)
    drag(browser, 0, at, (at[0] + 57, at[1]))
    assert said(browser).startswith("Separation 4; mean ")
    now = peak(browser)
    assert position(browser)[1] == pytest.approx((now[0] - 12) / (480 - 24) * 16 - 8, abs=2e-3)
    focus(browser)
    press(browser, "ArrowLeft")
    assert position(browser)[1] == pytest.approx((now[0] - 12) / (480 - 24) * 16 - 8.05, abs=2e-3)
    set_control(browser, "deviation", 80)
    assert position(browser)[2] == 5


def test_the_dot_that_keys_move_is_marked_and_named(shown):
    browser = shown(gl.widgets.Distances())
    instructions = browser.ask("document.querySelector('.genlib-how').textContent")
    assert "↑ ↓ choose a dot, ← → move it" in instructions
    focus(browser)
    for part, words in (("mean", "on the peak"), ("deviation", "on the side")) * 2:
        assert said(browser).endswith(f"The dot {words} is chosen.")
        edges = browser.ask(
            "[...document.querySelectorAll('circle')].map(c => +c.getAttribute('stroke-width'))"
        )
        assert [edge > 0 for edge in edges] == [part == "mean", part == "deviation"]
        press(browser, "ArrowDown")


def test_a_narrow_gaussian_is_drawn_up_to_its_peak(shown):
    browser = shown(gl.widgets.Distances(4.0, 1.0, 0.2))
    at, above = peak(browser), 12  # the plot's upper end
    assert min(y for _, y in corners(browser, "[data-part=model]")[0]) == pytest.approx(
        at[1], abs=1
    )
    assert above < at[1] < above + 30
    heights = [
        195 - min(y for _, y in corners(browser, f"[data-part={p}]")[0]) for p in ("data", "model")
    ]
    density = [0.65 * norm.pdf(0, 0, 0.6), norm.pdf(0, 0, 0.2)]  # at their peaks
    assert heights[0] / heights[1] == pytest.approx(density[0] / density[1], abs=0.01)


def told(browser, number, script, frames=200):
    """All that the figure says while it descends, a script runs, and frames go by, up to a few
    after a descent has ended; and what it says right after the script.
    """
    return browser.ask(
        f"""(async () => {{
            const all = [], status = document.querySelector("[role=status]");
            const plot = document.querySelector("svg[aria-hidden]");
            const watch = new MutationObserver(() => all.push(status.textContent));
            watch.observe(status, {{ childList: true }});
            const press = (name) => document.querySelector(`[data-action="${{name}}"]`).click();
            press({number});
            {script};
            const then = status.textContent;
            const ended = () => all.some((words) => words.includes(" ends at "));
            for (let k = 0, after = 0; k < {frames} && after < 5; k++, after += ended())
                await new Promise(requestAnimationFrame);
            watch.disconnect();
            return [then, all];
        }})()"""
    )


def test_a_new_descent_ends_the_one_before(shown):
    browser = shown(gl.widgets.Distances())
    wasserstein = ended(browser, 4)
    _, all_said = told(browser, "'restart'", "press(1), press(4)")
    ends = [words for words in all_said if " ends at " in words]
    assert ends == all_said[-1:] and numbers(ends[0]) == pytest.approx(wasserstein, abs=0.005)


@pytest.mark.parametrize(
    "script",
    [
        "plot.dispatchEvent(new PointerEvent('pointerdown'))",
        "document.querySelector('input').dispatchEvent(new Event('input', { bubbles: true }))",
    ],
    ids=["a press", "a slider"],
)
def test_a_hand_stops_the_descent(shown, script):
    browser = shown(gl.widgets.Distances())
    then, _ = told(browser, 4, script, frames=10)
    assert said(browser) == then and " ends at " not in then


def test_a_descent_stays_where_the_gaussian_may_be_moved(shown):
    """From so far left, the forward KL falls fastest where the Gaussian grows wider than that."""
    start = (8.0, -6.0, 4.95)
    browser = shown(gl.widgets.Distances(*start))
    wider = gl.widgets.Distances(*start[:2], 5.0).distances()
    assert wider["forward KL"] < gl.widgets.Distances(*start).distances()["forward KL"]
    _, all_said = told(browser, 0, "0")
    assert " ends at " in all_said[-1]
    places = [numbers(words)[1:3] for words in all_said[:-1]]
    assert max(s for _, s in places) > 4.9 and all(abs(m) <= 6 and s <= 5 for m, s in places)


def test_start_again_is_the_start_of_all_three(shown):
    browser = shown(gl.widgets.Distances(3.0, 1.0, 2.0))
    first = said(browser)
    for name, at in (("separation", 0), ("mean", 0), ("deviation", 0)):
        set_control(browser, name, at)
    press_button(browser, "restart")
    assert said(browser) == first
    outputs = "[...document.querySelectorAll('output')].map(o => o.textContent)"
    assert browser.ask(outputs) == ["3", "1.00", "2.00"]


def test_the_plot_and_the_table_stand_side_by_side_where_there_is_room(shown):
    browser = shown(gl.widgets.Distances())
    assert browser.ask("document.querySelector('.genlib-figure').offsetHeight") < 600
    assert place(browser, 0, 480, 0)[0] < browser.ask(
        "document.querySelector('table').getBoundingClientRect().left"
    )


def ended(browser, number):
    """Where a descent by one of the distances from the start ends: value, mean, deviation."""
    browser.ask("document.querySelector('[data-action=restart]').click()")
    browser.ask(f"document.querySelector(\"[data-action='{number}']\").click()")
    deadline = time.monotonic() + 20
    while " ends at " not in said(browser):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return numbers(said(browser))


def lowest(number):
    """Value, mean and deviation of the lowest minimum at separation 4, from many starts."""

    def value(theta):
        figure = gl.widgets.Distances(
            4.0,
            *(
                min(max(t, low), high)
                for t, low, high in zip(theta, (-6, 0.2), (6, 5), strict=True)
            ),
        )
        return list(figure.distances().values())[number]

    starts = [(-2, 0.7), (-0.7, 2)]
    found = [minimize(value, s, method="Nelder-Mead", options={"xatol": 1e-5}) for s in starts]
    best = min(found, key=lambda each: each.fun)
    return best.fun, *best.x


@pytest.mark.parametrize("number", range(6))
def test_from_its_start_each_descent_ends_in_the_lowest_minimum(shown, number):
    browser = shown(gl.widgets.Distances())
    value, mean, deviation = ended(browser, number)
    best = lowest(number)
    assert value == pytest.approx(best[0], abs=1e-3)
    assert (mean, deviation) == pytest.approx(best[1:], abs=0.02)


def at_once(browser):
    """The browser, asking for no motion: a descent then ends in the moment it begins."""
    reduced = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.send("Emulation.setEmulatedMedia", media="", features=[reduced])
    return browser


def test_what_it_says_is_there(shown):
    """Three stay on the left cluster and three cover both; from mean 0 two end higher."""
    hint = gl.widgets.Distances().hint
    assert "which stay on the left cluster, and which widen to cover both?" in hint
    assert "Then set mean 0: two of them now end in another minimum." in hint
    browser = at_once(shown(gl.widgets.Distances()))
    ends = [ended(browser, number) for number in range(6)]
    stay = [name for name, (_, mean, s) in zip(NAMES, ends, strict=True) if mean < -1.7 and s < 1]
    cover = [name for name, (_, mean, s) in zip(NAMES, ends, strict=True) if s > 1.9]
    assert stay == ["reverse KL", "total variation", "Jensen–Shannon"]
    assert cover == ["forward KL", "Wasserstein", "MMD²"]
    browser = at_once(shown(gl.widgets.Distances(mean=0.0)))
    higher = [
        name
        for number, name in enumerate(NAMES)
        if ended(browser, number)[0] > ends[number][0] + 0.01
    ]
    assert higher == ["total variation", "Jensen–Shannon"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"separation": 4.2}, ValueError, "separation: expected one of .*, got 4.2"),
        ({"mean": 7}, ValueError, r"mean: expected a number in \[-6.0, 6.0\], got 7"),
        ({"mean": math.nan}, ValueError, "mean: expected a number"),
        ({"deviation": 0}, ValueError, r"deviation: expected a number in \[0.2, 5.0\], got 0"),
        ({"deviation": "wide"}, TypeError, "deviation: expected a number in"),
        ({"hint": 1}, TypeError, "hint: expected words, got 1"),
        ({"names": ["KL"]}, ValueError, r"names: expected some of .*, got \['KL'\]"),
        ({"names": []}, ValueError, "names: expected some of"),
        ({"names": "MMD²"}, ValueError, "names: expected some of"),
    ],
)
def test_refusals(settings, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.Distances(**settings)
