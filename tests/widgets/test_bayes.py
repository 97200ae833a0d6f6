"""The graph to click on believes what the Bayesian network does, and shows explaining away."""

import itertools
import json

import pytest
import torch
from bs4 import BeautifulSoup

import genlib as gl

NODE = "document.querySelectorAll('g[role=button]')"


def lawn():
    """The network of lesson 2: why is the grass wet?"""
    net = gl.BayesNet(
        {"rain": [], "sprinkler": ["rain"], "wet": ["rain", "sprinkler"], "slippery": ["wet"]}
    ).double()
    net.set_tables(
        {
            "rain": torch.tensor([0.8, 0.2]),
            "sprinkler": torch.tensor([[0.6, 0.4], [0.99, 0.01]]),
            "wet": torch.tensor([[[1.0, 0.0], [0.1, 0.9]], [[0.2, 0.8], [0.01, 0.99]]]),
            "slippery": torch.tensor([[1.0, 0.0], [0.3, 0.7]]),
        }
    )
    return net


def graph(net, query=None, **settings):
    return gl.widgets.BayesNetGraph(net, query, **{"alt": "a graph", "hint": "Click.", **settings})


def varied():
    """Variables of two to four states whose columns do not go from parents to children."""
    states = [2, 3, 4, 2, 2]
    net = gl.BayesNet([[3], [0, 4], [1, 3, 0], [], [3]], states=states).double()
    gl.seed(1)
    shapes = [[*(states[p] for p in net.parents[i]), states[i]] for i in range(5)]
    net.set_tables([torch.rand(shape, dtype=torch.float64).softmax(-1) for shape in shapes])
    return net


def believed(browser):
    """What the bars of each node say."""
    return browser.ask(
        f"[...{NODE}].map(g => [...g.querySelectorAll('.bar')]"
        ".map(bar => bar.getAttribute('width') / 60))"
    )


def observe(browser, states):
    """Click on each node until it is in its state, from all unknown."""
    browser.ask("document.querySelector('button').click()")
    for i, state in enumerate(states):
        for _ in range(state + 1):
            browser.ask(f"{NODE}[{i}].dispatchEvent(new Event('click'))")


def status(browser):
    return browser.ask("document.querySelector('[role=status]').textContent")


def truth(net, observed):
    """Posteriors by listing all joint states, in plain loops; None where that has no mass."""
    events = list(itertools.product(*map(range, net.states)))
    mass = {
        event: torch.tensor([event], dtype=torch.float64)
        for event in events
        if all(state in (-1, value) for state, value in zip(observed, event, strict=True))
    }
    mass = {event: net.log_prob(x).exp().item() for event, x in mass.items()}
    total = sum(mass.values())
    if not total:
        return None
    return [
        [sum(p for e, p in mass.items() if e[i] == s) / total for s in range(count)]
        for i, count in enumerate(net.states)
    ]


def test_posteriors_are_the_network_s_whatever_is_observed(shown):
    net = lawn()
    browser = shown(graph(net))
    for observed in itertools.product((-1, 0, 1), repeat=4):
        observe(browser, observed)
        expected = truth(net, observed)
        if expected is None:
            assert status(browser).endswith("their probability is zero.")
            assert not any(itertools.chain(*believed(browser)))
            continue
        given = {v: s for v, s in zip(net.variables, observed, strict=True) if s >= 0}
        for variable, bars, listed in zip(net.variables, believed(browser), expected, strict=True):
            assert bars == pytest.approx(listed, abs=1e-9)
            if variable not in given:
                assert bars == pytest.approx(net.conditional(variable, given).tolist(), abs=1e-6)


def test_variables_of_several_states_in_any_order(shown):
    net = varied()
    browser = shown(graph(net, start={2: 3}))
    assert believed(browser)[1] == pytest.approx(net.conditional(1, {2: 3}).tolist(), abs=1e-6)
    for observed in ((-1, 2, -1, 1, -1), (1, -1, 0, -1, 0), (-1, 0, 1, 0, -1)):
        observe(browser, observed)
        for bars, listed in zip(believed(browser), truth(net, observed), strict=True):
            assert bars == pytest.approx(listed, abs=1e-9)


def causes():
    """Two causes of wet grass with no arrow between them, so that only the grass links them."""
    net = gl.BayesNet(
        {"rain": [], "sprinkler": [], "wet": ["rain", "sprinkler"], "slippery": ["wet"]}
    ).double()
    tables = {name: lawn().table(name) for name in net.variables}
    net.set_tables(tables | {"sprinkler": torch.tensor([0.7, 0.3])})
    return net


def test_a_second_cause_explains_the_first_away(shown):
    net = causes()
    names = dict.fromkeys(net.variables, ("no", "yes"))
    browser = shown(graph(net, "rain", start={"wet": 1}, states=names))
    truth = [
        net.conditional("rain", given)[1].item()
        for given in ({"wet": 1}, {"wet": 1, "sprinkler": 1}, {"sprinkler": 1}, {})
    ]
    seen = [believed(browser)[0][1]]
    assert status(browser) == "p(rain | wet = yes): no 0.558, yes 0.442"
    for node, clicks, sentence in (
        (1, 2, "p(rain | sprinkler = yes, wet = yes): no 0.784, yes 0.216"),
        (2, 1, "p(rain | sprinkler = yes): no 0.800, yes 0.200"),
        (1, 1, "p(rain): no 0.800, yes 0.200"),
    ):
        for _ in range(clicks):
            browser.ask(f"{NODE}[{node}].dispatchEvent(new Event('click'))")
        assert status(browser) == sentence
        seen.append(believed(browser)[0][1])
    assert seen == pytest.approx(truth, abs=1e-6)
    wet, both, on, nothing = seen
    assert both < wet - 0.2 and on == pytest.approx(nothing)  # the grass alone links the causes


def test_a_first_state_that_is_observed_is_marked_and_said(shown):
    browser = shown(graph(causes(), "rain", states={"rain": ("no", "yes")}))
    observe(browser, (0, -1, 1, -1))
    assert status(browser) == "rain is observed: no."
    fills = browser.ask(f"[...{NODE}].map(g => g.querySelector('.bar').getAttribute('fill'))")
    assert fills == ["#D55E00", "#2B8CCE", "#D55E00", "#2B8CCE"]


def test_the_start_stands_in_the_page_before_its_script_runs():
    net = lawn()
    html = graph(net, "rain", start={"wet": 1})._repr_html_()
    soup = BeautifulSoup(html, "html.parser")
    assert soup.find(role="status").string == "p(rain | wet = 1): 0 0.642, 1 0.358"
    bars = [float(bar["width"]) / 60 for bar in soup.select(".bar")]
    rain = net.conditional("rain", {"wet": 1}).tolist()
    assert bars[:2] == pytest.approx(rain) and bars[4:6] == [0, 1]
    data = json.loads(soup.find("script", type="application/json").string)
    assert data["tables"][2] == pytest.approx(net.table("wet").flatten().tolist())
    assert soup.find(attrs={"aria-label": True})["aria-label"] == "a graph"
    assert soup.find("button").text == "Clear observations"


def test_keys_work_it_with_one_tab_stop_for_the_graph(shown):
    browser = shown(graph(lawn(), "rain"))
    assert browser.ask("document.querySelectorAll('[tabindex=\"0\"], button').length") == 2
    press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: %r}))"
    browser.ask(f"{NODE}[0].focus()")
    for key in ("ArrowDown", "ArrowRight", "Enter", "Enter", "ArrowUp", " "):
        browser.ask(press % key)
    assert status(browser) == "p(rain | sprinkler = 0, wet = 1): 0 0.000, 1 1.000"
    names = browser.ask(f"[...{NODE}].map(g => g.textContent.trim())")
    assert names[:2] == ["rain 0 0.000 1 1.000", "sprinkler 0 1.000 1 0.000"]
    pressed = browser.ask(f"[...{NODE}].map(g => g.getAttribute('aria-pressed'))")
    assert pressed == ["false", "true", "true", "false"]
    assert browser.ask("document.querySelectorAll('[tabindex=\"0\"]').length") == 1


def test_nothing_lies_on_a_box_and_all_is_in_view(shown):
    browser = shown(graph(lawn()), width=390)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
    across = browser.ask(
        """(() => {
          const all = [...document.querySelectorAll(".box")];
          const boxes = all.map((box) => box.getBoundingClientRect());
          return [...document.querySelectorAll("svg > path[fill=none]")].some((path) => {
            const to = path.getScreenCTM();
            return [...Array(100).keys()].some((k) => {
              const at = path.getPointAtLength(path.getTotalLength() * k / 99).matrixTransform(to);
              const between = (low, x, high) => low < x && x < high;
              return boxes.some(
                (b) => between(b.left, at.x, b.right) && between(b.top, at.y, b.bottom));
            });
          });
        })()"""
    )
    assert across is False


def tableless():
    return gl.BayesNet([[]])


@pytest.mark.parametrize(
    ("net", "settings", "error", "message"),
    [
        (lambda: 3, {}, TypeError, "net: expected a BayesNet, got int"),
        (lambda: gl.BayesNet([[]] * 9), {}, ValueError, "at most 8 variables .*, got 9 and 512"),
        (
            lambda: gl.BayesNet([[]] * 6, states=5),
            {},
            ValueError,
            "4096 joint states, got 6 and 15",
        ),
        (tableless, {}, gl.NotFittedError, "no tables yet"),
        (
            lawn,
            {"query": "snow"},
            ValueError,
            "query: expected variables among rain, .*, got 'snow'",
        ),
        (lawn, {"start": {"snow": 1}}, ValueError, "start: expected variables among rain"),
        (lawn, {"start": {"wet": 2}}, ValueError, "expected a state of 'wet' in 0 … 1, got 2"),
        (lawn, {"start": [1]}, TypeError, r"start: expected a mapping by variable, got \[1"),
        (lawn, {"start": {"wet": 0, "slippery": 1}}, ValueError, "probability zero"),
        (lawn, {"states": {"wet": ("dry",)}}, ValueError, "states: expected 2 different names for"),
        (lawn, {"states": {"wet": "no"}}, ValueError, "2 different names for 'wet', got 'no'"),
        (lawn, {"places": {"wet": (0, 0)}}, ValueError, "places: .* for 'rain', got None"),
        (
            lawn,
            {"places": dict.fromkeys(("rain", "sprinkler", "wet", "slippery"), (0, 0))},
            ValueError,
            "places: expected 'sprinkler' at least 0.9 of a box away",
        ),
        (lawn, {"alt": None}, TypeError, "alt: expected words"),
    ],
)
def test_refusals(net, settings, error, message):
    with pytest.raises(error, match=message):
        graph(net(), **settings)
