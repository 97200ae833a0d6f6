"""The arithmetic coder of the page computes what fractions of whole numbers say."""

import json
import math
import random
import re
from fractions import Fraction

import pytest
import torch

import genlib as gl
from tests.widgets.hands import attributes, numbers, said

P = {"a": 0.5, "b": 0.25, "c": 0.25}
MODELS = {
    "q = p": P,
    "uniform": dict.fromkeys("abc", 1 / 3),
    "reversed": {"a": 0.2, "b": 0.3, "c": 0.5},
}


def coder(**settings):
    given = {"models": MODELS, "message": "bac", "hint": "Type.", "alt": "the message bac"}
    return gl.widgets.ArithmeticCoder(P, **{**given, **settings})


def interval(message, q):
    """Low end and width, as fractions."""
    low, width = Fraction(0), Fraction(1)
    for letter in message:
        shares = {x: Fraction(share).limit_denominator(1000) for x, share in q.items()}
        low += width * sum(shares[x] for x in shares if x < letter)
        width *= shares[letter]
    return low, width


def type_in(browser, message, model):
    """Type a message and choose a model as a reader does; what the page then says."""
    return browser.ask(
        f"""(() => {{
          const input = document.querySelector("input"), menu = document.querySelector("select");
          input.value = {json.dumps(message)};
          menu.value = {list(MODELS).index(model)};
          input.dispatchEvent(new Event("input"));
          return {{
            message: input.value,
            bits: document.querySelector("output").textContent,
            settled: document.querySelector("output b").textContent,
            low: document.querySelector("[data-low]").textContent,
            status: document.querySelector("[role=status]").textContent,
            bill: [...document.querySelectorAll("td")].map(cell => cell.textContent),
          }};
        }})()"""
    )


def messages():
    dice = random.Random(4)
    some = ["".join(dice.choices("abc", k=k)) for k in (1, 2, 3, 5, 8, 13, 21, 40)]
    return ["", "bac", "a" * 40, "c" * 40, "b" * 39 + "a", *some]


def test_the_bits_are_the_shortest_that_settle_the_message(shown):
    browser = shown(coder())
    for model, q in MODELS.items():
        for message in messages():
            low, width = interval(message, q)
            said = type_in(browser, message, model)
            bits = said["bits"]
            start, length = (
                Fraction(int("0" + bits, 2), 2 ** len(bits)),
                Fraction(1, 2 ** len(bits)),
            )
            assert low <= start and start + length <= low + width
            half = 2 ** (len(bits) - 1) if bits else None  # no shorter string would do
            if half:
                m = math.ceil(low * half)
                assert Fraction(m + 1, half) > low + width
            assert -math.log2(width) <= len(bits) < -math.log2(width) + 2
            assert abs(float(said["low"]) - low) < max(1e-15, float(width) / 10)
            # What is settled begins every number of the interval, and no longer string does.
            settled = said["settled"]
            assert bits.startswith(settled)
            cell = Fraction(1, 2 ** len(settled))
            start = int("0" + settled, 2) * cell
            assert start <= low and low + width <= start + cell
            if len(settled) < len(bits):
                assert low < start + cell / 2 < low + width


def test_the_bill_is_entropy_cross_entropy_and_divergence(shown):
    browser = shown(coder())
    p = torch.tensor(list(P.values()), dtype=torch.float64)
    for model, q in MODELS.items():
        share = torch.tensor(list(q.values()), dtype=torch.float64)
        for message in ("bac", "ccccb"):
            index = ["abc".index(letter) for letter in message]
            bill = type_in(browser, message, model)["bill"]
            found = [numbers(cell)[-1] for cell in bill]
            ideal = [-table[index].log2().sum().item() for table in (p, share)]
            cross = [-(p * table.log2()).sum().item() * len(message) for table in (p, share)]
            truth = [
                ideal[0],
                cross[0],
                ideal[1],
                cross[1],
                ideal[1] - ideal[0],
                cross[1] - cross[0],
            ]
            assert found == pytest.approx(truth, abs=0.0051)


@pytest.mark.parametrize("model", MODELS)
def test_what_is_drawn_are_shares_of_the_interval(shown, model):
    """Each row is cut as q says, the next letter's piece leads to the next row, and the thick bar
    is the numbers that begin with the bits, within the last interval.
    """
    browser, left, wide = shown(coder()), 62, 494
    bits = type_in(browser, "bac", model)["bits"]
    q = [Fraction(share).limit_denominator(1000) for share in MODELS[model].values()]
    ends = [left + wide * float(sum(q[:k])) for k in range(4)]
    pieces = attributes(browser, "svg rect:not([data-sent])", "x", "width", "y", "fill-opacity")
    assert len(pieces) == 4 * 3
    for k, (x, width, y, opacity) in enumerate(pieces):
        row, letter = divmod(k, 3)
        assert (x, x + width) == pytest.approx((ends[letter], ends[letter + 1]))
        assert y == pieces[3 * row][2] and (opacity > 0.5) == (
            letter == dict(enumerate((1, 0, 2))).get(row)
        )
    paths = browser.ask("[...document.querySelectorAll('svg path')].map(p => p.getAttribute('d'))")
    for path, letter in zip(paths, (1, 0, 2), strict=True):
        x, _, a, _, b, x_end, _ = map(float, re.findall(r"[\d.]+", path))
        assert (x, x_end) == pytest.approx((ends[letter], ends[letter + 1]))
        assert (a, b) == (left, left + wide)
    low, width = interval("bac", MODELS[model])
    start, length = Fraction(int(bits, 2), 2 ** len(bits)), Fraction(1, 2 ** len(bits))
    ((at, thick),) = attributes(browser, "[data-sent]", "x", "width")
    assert at == pytest.approx(left + wide * float((start - low) / width), abs=1e-3)
    assert thick == pytest.approx(wide * float(length / width), abs=1e-3)
    printed = browser.ask(
        "[...document.querySelectorAll('svg text')].slice(-2).map(t => t.textContent)"
    )
    assert [float(end) for end in printed] == pytest.approx(
        [float(low), float(low + width)], abs=1e-4
    )


def test_a_letter_that_is_two_units_of_a_string_is_one_letter(shown):
    p = {"😀": 0.5, "b": 0.25, "🤖": 0.25}
    browser = shown(gl.widgets.ArithmeticCoder(p, message="😀b🤖", alt="three letters"))
    bill = browser.ask("[...document.querySelectorAll('td')].map(cell => cell.textContent)")
    assert [numbers(cell)[-1] for cell in bill[:2]] == [5, 4.5]  # 1 + 2 + 2 bits, 3 · 1.5 expected
    assert said(browser).startswith("“😀b🤖”: 5 bits sent.")
    labels = "[...document.querySelectorAll('svg text')].filter(t => t.getAttribute('x') === '0')"
    assert browser.ask(f"{labels}.map(t => t.textContent)") == ["", "😀", "😀b", "😀b🤖"]
    chosen = [
        k for k, (o,) in enumerate(attributes(browser, "svg rect", "fill-opacity")) if o > 0.5
    ]
    assert chosen == [0, 3 + 1, 6 + 2]
    browser.ask(
        """(input => { input.value = "🤖".repeat(50); input.dispatchEvent(new Event("input")); })
        (document.querySelector("input"))"""
    )
    assert browser.ask("[...document.querySelector('input').value].length") == 40
    assert browser.ask(f"{labels}.at(-1).textContent") == "…" + 4 * "🤖"


def test_it_starts_with_the_message_and_the_first_model(shown):
    browser = shown(coder())
    assert (
        said(browser) == "“bac”: 5 bits sent. Ideal length: −log₂ Q = 5.00, as many as with q = p."
    )
    assert browser.ask("document.querySelector('output').textContent") == "10011"  # 19/32 = 0.59375


def test_what_a_wrong_model_costs_is_its_divergence_from_p(shown):
    models = {
        "q = p": P,
        "q uniform": dict.fromkeys("abc", 1 / 3),
        "q reversed": {"a": 0.25, "b": 0.25, "c": 0.5},
    }
    browser = shown(coder(models=models, message="baca"))  # its letters come as often as p says
    for message, excess in (
        ("baca", ("0.00", "0.34", "1.00")),
        ("ccc", ("0.00", "−1.25", "−3.00")),
    ):
        for i, bits in enumerate(excess):
            browser.ask(
                f"""(() => {{
                  const [input, menu] = document.querySelectorAll("input, select");
                  input.value = "{message}";
                  menu.value = {i};
                  menu.dispatchEvent(new Event("input"));
                }})()"""
            )
            last = "document.querySelectorAll('td')[4].textContent"
            assert browser.ask(last) == bits


def test_other_letters_are_left_out_with_a_word(shown):
    said = type_in(shown(coder()), "bxaéc", "q = p")
    assert said["message"] == "bac" and said["bits"] == "10011"
    assert said["status"].startswith("Only a, b, c can be sent; left out: “x”, “é”. “bac”: 5 bits")


def test_a_space_is_named_and_what_is_too_long_is_cut_with_a_word(shown):
    browser = shown(coder())
    spaced = type_in(browser, "b a\u00a0c", "q = p")
    assert spaced["message"] == "bac"
    assert spaced["status"].startswith("Only a, b, c can be sent; left out: a space. “bac”")
    long = type_in(browser, "ab" * 21, "q = p")
    assert long["message"] == "ab" * 20
    assert long["status"].startswith("A message has at most 40 letters; the rest was left out. “ab")
    assert not browser.ask("document.querySelector('input').hasAttribute('maxlength')")


def test_bits_sent_and_ideal_lengths_are_told_apart(shown):
    browser = shown(coder(message="baca"))
    told = type_in(browser, "baca", "uniform")
    _, width = interval("baca", MODELS["uniform"])
    assert len(told["bits"]) == 8 and f"{-math.log2(width):.2f}" == "6.34"
    assert told["status"] == (
        "“baca”: 8 bits sent. Ideal length: −log₂ Q = 6.34, 0.34 more than with q = p."
    )
    fewer = type_in(browser, "ccc", "uniform")["status"]  # p gives c less than a third
    assert fewer.endswith(" −log₂ Q = 4.75, 1.25 fewer than with q = p.")
    heads = browser.ask("[...document.querySelectorAll('th')].map(th => th.textContent)")
    assert heads[0] == "ideal length in bits" and not any("sent" in head for head in heads)
    assert type_in(browser, "a", "q = p")["status"].startswith("“a”: 1 bit sent.")


def test_the_bits_alone_do_not_tell_the_length_and_it_says_so(shown):
    browser = shown(coder())
    assert [type_in(browser, "a" * n, "q = p")["bits"] for n in (1, 2, 3)] == ["0", "00", "000"]
    how_to = browser.ask("document.querySelector('.genlib-how').textContent")
    assert "The receiver must know how long the message is, or be sent an end mark" in how_to
    assert "bits in bold are common to all numbers of the last interval" in how_to


def test_a_row_of_up_to_five_letters_has_its_whole_label(shown):
    browser = shown(coder())
    labels = "[...document.querySelectorAll('svg text')].filter(t => t.getAttribute('x') === '0')"
    for message, last in (("abcab", "abcab"), ("abcabc", "…cabc")):
        type_in(browser, message, "q = p")
        assert browser.ask(f"{labels}.at(-1).textContent") == last
    widest = max(browser.ask(f"{labels}.map(t => t.getBBox().width)"))
    assert widest < 62  # where the rows begin


def test_it_fits_a_phone_and_has_two_tab_stops(shown):
    browser = shown(coder(message="abc" * 13), width=390)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
    assert browser.ask("document.querySelectorAll('input, select, button, [tabindex]').length") == 2


@pytest.mark.parametrize(
    ("p", "settings", "error", "message"),
    [
        ([0.5, 0.5], {}, TypeError, r"p: expected probabilities by letter, got \[0.5"),
        ({"a": 1.0}, {}, ValueError, "p: expected 2 to 8 letters, got 1"),
        (
            {"a": 0.5, "bc": 0.5},
            {},
            ValueError,
            "p: expected letters of one character each, .*'bc'",
        ),
        (
            {"a": 0.5, "b": 0.4},
            {},
            ValueError,
            "p: expected probabilities that sum to one, got 0.9",
        ),
        ({"a": 1.0, "b": 0.0}, {}, ValueError, "p: expected a probability above 0 for 'b', got 0"),
        (
            {"a": 1.5, "b": -0.5},
            {},
            ValueError,
            "p: expected a probability above 0 for 'a', got 1.5",
        ),
        ({"a": math.nan, "b": 1.0}, {}, ValueError, "above 0 for 'a', got nan"),
        ({"a": "x", "b": 1.0}, {}, TypeError, "p: expected a number for 'a', got 'x'"),
        ({"a": 0.12345, "b": 0.87655}, {}, ValueError, "denominator of up to 1000 for 'a'"),
        (P, {"models": {}}, ValueError, "models: expected at least one"),
        (P, {"models": [P]}, TypeError, "models: expected probabilities by name"),
        (
            P,
            {"models": {"q": {"a": 0.5, "b": 0.5}}},
            ValueError,
            r"models\['q'\]: .*a, b, c, in this",
        ),
        (P, {"models": {"q": dict.fromkeys("abc", 0.5)}}, ValueError, "sum to one, got 1.5"),
        (P, {"message": "bad"}, ValueError, "message: expected at most 40 of the letters a, b, c"),
        (P, {"message": "a" * 41}, ValueError, "message: expected at most 40"),
        (P, {"message": 3}, TypeError, "message: expected words, got 3"),
        (P, {"hint": None}, TypeError, "hint: expected words"),
    ],
)
def test_refusals(p, settings, error, message):
    with pytest.raises(error, match=message):
        gl.widgets.ArithmeticCoder(p, **{"alt": "a coder", **settings})
