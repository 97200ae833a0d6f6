"""Figures show what they are given, and refuse what they cannot show."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import genlib as gl

NAN = math.nan


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_grid_of_images_holds_every_image_in_its_place():
    x = torch.arange(5).float().reshape(5, 1, 1, 1).expand(5, 1, 3, 4) / 10
    picture = gl.plots.images(x, columns=2).images[0].get_array()
    assert picture.shape == (3 * 4 + 1, 2 * 5 + 1)
    for i, (top, left) in enumerate([(1, 1), (1, 6), (5, 1), (5, 6), (9, 1)]):
        assert (picture[top : top + 3, left : left + 4] == x[i, 0].numpy()).all()
    assert (picture[9:, 6:] == 1).all()  # no sixth image


@pytest.mark.parametrize("shade", [0.0, 1.0])
def test_each_image_has_a_grey_frame_whatever_stands_at_its_border(shade):
    drawn = gl.plots.images(torch.full((3, 1, 2, 2), shade), columns=2).images[0]
    picture = drawn.get_array()
    frame = np.ones_like(picture, dtype=bool)
    for top, left in (1, 1), (1, 4), (4, 1):
        assert (picture[top : top + 2, left : left + 2] == shade).all()
        frame[top : top + 2, left : left + 2] = False
    frame[4:, 4:] = False  # no fourth image
    assert 0.3 < picture[frame].min() == picture[frame].max() < 0.7
    # a pixel's place on the axes is that within the first image
    assert drawn.get_extent() == [-1.5, 5.5, 5.5, -1.5]


def test_colour_images_stay_in_colour():
    x = torch.rand(2, 3, 4, 4)
    picture = gl.plots.images(x).images[0].get_array()
    np.testing.assert_allclose(picture[1:5, 1:5], x[0].permute(1, 2, 0), rtol=1e-6)


def test_rows_of_images_stand_below_each_other_with_their_names_beside_them():
    upper, lower = torch.rand(2, 3, 20)
    ax = gl.plots.image_rows({"upper": upper, "lower": lower}, (4, 5), title="both")
    expected = gl.plots.images(torch.cat([upper, lower]).view(6, 4, 5), 3)
    np.testing.assert_array_equal(ax.images[0].get_array(), expected.images[0].get_array())
    assert ax.get_title() == "both"
    assert [text.get_text() for text in ax.texts] == ["upper", "lower"]
    for text, of_row in zip(ax.texts, (range(4), range(5, 9)), strict=True):
        x, y = text.get_position()
        assert x < 0 and y == np.mean(of_row)


def test_rows_of_images_need_no_shape_where_they_have_one():
    ax = gl.plots.image_rows({"faces": torch.rand(2, 3, 4, 4)})
    assert ax.images[0].get_array().shape == (6, 11, 3)


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ({}, TypeError, "rows: expected images by name, at least one"),
        (torch.rand(2, 4, 4), TypeError, "rows: expected images by name, .* got Tensor"),
        ({"a": [1.0]}, TypeError, "a"),
        ({"a": torch.rand(2, 4, 4), "b": torch.rand(3, 4, 4)}, ValueError, "'a': 2, 'b': 3"),
        ({"a": torch.rand(2, 16)}, ValueError, r"\(2, 16\)"),
    ],
)
def test_rows_of_images_refuse_what_is_none(rows, error, words):
    with pytest.raises(error, match=words):
        gl.plots.image_rows(rows)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.rand(2, 2, 4, 4), ValueError, "1 or 3"),
        (torch.rand(4, 4), ValueError, r"got \(4, 4\)"),
        (2 * torch.ones(1, 4, 4), ValueError, r"values in \[0, 1\], got \[2, 2\]"),
        (torch.zeros(1, 4, 4, dtype=torch.uint8), TypeError, "uint8"),
    ],
)
def test_images_refuses_what_is_no_batch_of_images(x, error, words):
    with pytest.raises(error, match=words):
        gl.plots.images(x)


def flat(x):
    return torch.zeros(len(x))


X = torch.arange(3.0)
EMPTY = gl.History([{"epoch": 1, "seconds": 0.1}])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: gl.plots.images(X.view(3, 1, 1) / 2, columns=0),
            ValueError,
            "columns: .* at least 1",
        ),
        (
            lambda: gl.plots.images(X.view(3, 1, 1) / 2, columns=2**40),
            ValueError,
            "columns: .* 100",
        ),
        (
            lambda: gl.plots.images(X.view(3, 1, 1) / 2, columns=1.5),
            TypeError,
            "columns: .* got 1.5",
        ),
        (lambda: gl.plots.images(torch.zeros(1, 2, 2, device="meta")), ValueError, "x: .* meta"),
        (lambda: gl.plots.density(flat, (1, 1), (-1, -1)), ValueError, r"high: expected more than"),
        (
            lambda: gl.plots.density(flat, (0, 0), (1, 0)),
            ValueError,
            r"more than low, \(0, 0\), got",
        ),
        (lambda: gl.plots.density(flat, (0,), (1, 1)), ValueError, r"low: .* numbers, got \(0,\)"),
        (lambda: gl.plots.density(flat, (0, 0), (1, 1, 1)), ValueError, "high: expected two fini"),
        (lambda: gl.plots.density(flat, (0, 0), (1, NAN)), ValueError, r"high: .*, got \(1, nan\)"),
        (lambda: gl.plots.density(flat, 0, 1), TypeError, "low: expected two numbers, got 0"),
        (lambda: gl.plots.density(flat, "ab", (1, 1)), TypeError, "low: expected two numbers, got"),
        (
            lambda: gl.plots.density(flat, (0, 0), (1, 1), resolution=2**40),
            ValueError,
            "resolution: expected at most 4096",
        ),
        (lambda: gl.plots.density(flat, (0, 0), (1, 1), vmax=0), ValueError, "vmax: expected"),
        (
            lambda: gl.plots.density(lambda x: x, (0, 0), (1, 1), resolution=3),
            ValueError,
            r"log_prob: expected a tensor of shape \(9,\), got \(9, 2\)",
        ),
        (lambda: gl.plots.density(len, (0, 0), (1, 1)), ValueError, r"\(40000,\), got int"),
        (
            lambda: gl.plots.density(lambda x: x[:, 0].log(), (-1, 0), (1, 2), resolution=2),
            ValueError,
            r"log_prob: expected numbers or −inf, got NaN at \[-0.5, 0.5\]",
        ),
        (lambda: gl.plots.grid((0, 0), (1, 1), 0), ValueError, "resolution: expected at least 1"),
        (lambda: gl.plots.points([[0, 1]]), TypeError, "x: expected a torch.Tensor, got list"),
        (
            lambda: gl.plots.curves([1, 2], {"a": X}),
            TypeError,
            "x: expected a torch.Tensor, got li",
        ),
        (lambda: gl.plots.curves(X, X), TypeError, "ys: expected curves by name.* got Tensor"),
        (lambda: gl.plots.curves(X, {}), TypeError, "ys: expected .*, at least one"),
        (lambda: gl.plots.curves(X, {"a": X[:2]}), ValueError, r"3 values of 'a', got \(2,\)"),
        (lambda: gl.plots.curves(X, {"a": X[:, None, None]}), ValueError, r"got \(3, 1, 1\)"),
        (lambda: gl.plots.curves(X, {"a": X + 1j}), TypeError, "'a': expected real .* got"),
        (lambda: gl.plots.curves(X + 1j, {"a": X}), TypeError, "x: expected real .* got"),
        (lambda: gl.plots.curves(X[0], {"a": X[0]}), ValueError, r"x: expected shape \(N,\)"),
        (
            lambda: gl.plots.density(lambda x: x[:, 0] + 1j, (0, 0), (1, 1)),
            TypeError,
            "log_prob: expected real numbers, got torch.complex64",
        ),
        (lambda: gl.plots.density(None, (0, 0), (1, 1)), TypeError, "a function .* got NoneType"),
        (
            lambda: gl.plots.density(gl.Gaussian(), (0, 0), (1, 1)),
            TypeError,
            "log_prob: expected a function such as model.log_prob, got Gaussian",
        ),
        (lambda: gl.plots.history([{"epoch": 1}]), TypeError, "record: expected a History, got li"),
        (lambda: gl.plots.history(gl.History()), KeyError, "no column 'epoch'; it has none"),
        (
            lambda: gl.plots.history(EMPTY),
            ValueError,
            "record: expected losses beside its 1 epochs",
        ),
        (lambda: gl.plots.as_jpeg(quality=0), ValueError, "quality: expected at least 1, got 0"),
        (lambda: gl.plots.as_jpeg(quality=2**40), ValueError, "quality: expected at most 100"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_density_map_has_the_point_where_it_belongs():
    """A density that is high only near (0.75, 0.25): right and below."""
    peak = torch.tensor([0.75, 0.25])
    picture = gl.plots.density(
        lambda x: -200 * ((x - peak) ** 2).sum(1), (0, 0), (1, 1), resolution=40
    )
    row, column = np.unravel_index(picture.get_array().argmax(), (40, 40))
    assert picture.origin == "lower" and (row, column) in {(9, 29), (10, 29), (9, 30), (10, 30)}


def test_grid_lists_cell_centres_with_the_first_coordinate_fastest():
    expected = torch.tensor([[0.5, 2.5], [1.5, 2.5], [0.5, 3.5], [1.5, 3.5]])
    assert torch.equal(gl.plots.grid((0, 2), (2, 4), 2), expected)


def test_history_draws_every_loss_over_its_epochs():
    record = gl.History(
        [
            {"epoch": 1, "seconds": 0.1, "loss": 3.0, "valid": 4.0},
            {"epoch": 2, "seconds": 0.1, "loss": 2.0, "valid": 3.5},
        ]
    )
    lines = gl.plots.history(record).lines
    assert [line.get_label() for line in lines] == ["loss", "valid"]
    np.testing.assert_allclose(lines[1].get_data(), [[1, 2], [4.0, 3.5]])


def test_history_draws_a_number_over_the_epochs_that_have_it():
    record = gl.History([{"epoch": i, "loss": 1 / i} for i in range(1, 6)])
    record.rows[1]["quality"], record.rows[3]["quality"] = 20.0, 25.0
    lines = {line.get_label(): line for line in gl.plots.history(record).lines}
    np.testing.assert_allclose(lines["quality"].get_data(), [[2, 4], [20.0, 25.0]])
    assert len(lines["loss"].get_xdata()) == 5


def test_points_wants_two_columns():
    gl.plots.points(torch.rand(5, 2))
    with pytest.raises(ValueError, match=r"\(N, 2\), got \(5, 3\)"):
        gl.plots.points(torch.rand(5, 3))


def test_jpeg_is_a_jpeg_and_closes_its_figure():
    gl.plots.images(torch.rand(1, 8, 8))
    shown = gl.plots.as_jpeg()
    assert shown.data[:2] == b"\xff\xd8" and not plt.get_fignums()


def test_colours_differ_in_grey_and_the_style_is_opaque():
    """Neighbouring colours of the cycle keep apart in luminance, so that lines differ in print;
    white shows on a dark page.
    """
    luminance = [
        np.dot([0.2126, 0.7152, 0.0722], [int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        for c in gl.plots.COLOURS
    ]
    assert min(abs(np.diff(luminance[:2]))) > 0.05
    assert gl.plots.STYLE["figure.facecolor"] == "white"


@pytest.fixture
def known(monkeypatch):
    """A registry of its own, so that classes made here are forgotten afterwards."""
    monkeypatch.setattr(gl.Model, "registry", dict(gl.Model.registry))


def declared(name, density, *queries, **cannot):
    """A class of models that declares ``density`` and answers ``queries``."""
    answered = {f"_{query}": lambda self, *_: None for query in queries}
    return type(name, (gl.Model,), {"density": density, "cannot": cannot, **answered})


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_taxonomy_has_every_kind_of_density_once_and_empty_branches_say_so():
    drawn = words(gl.plots.taxonomy([]))
    assert drawn.count("(none yet)") == len(gl.Density) == 7
    assert sum(word.startswith(("explicit", "implicit", "no p(x)")) for word in drawn) == 3


@pytest.mark.covers("F04")
def test_taxonomy_puts_each_model_on_the_branch_that_its_class_declares(known):
    models = [declared(f"Model{kind.name}", kind) for kind in gl.Density]
    ax = gl.plots.taxonomy(models)
    places = {text.get_text(): text.get_position() for text in ax.texts}
    branch = {"EXACT": "exactly", "BOUND": "up to a bound", "ENERGY": "up to the constant Z"}
    branch |= {"UNNORMALISED": "with no constant Z", "IMPLICIT": "directly"}
    branch |= {"CHAIN": "by a Markov chain", "NONE": "for other uses"}
    heights = {kind: places[how][1] for kind, how in branch.items()}
    assert {kind: places[f"Model{kind}"][1] for kind in branch} == heights
    assert len(set(heights.values())) == 7


@pytest.mark.covers("F04")
def test_taxonomy_and_answers_grow_with_the_library(known):
    before = len(gl.plots.answers().rows)
    declared("Toy", gl.Density.BOUND, "sample")  # a reader's own: not drawn unless asked for
    assert not any("Toy" in text for text in words(gl.plots.taxonomy()))
    newcomer = {"__module__": "genlib.models.newcomer", "_sample": lambda self, *_: None}
    type("Newcomer", (gl.Model,), newcomer | {"density": gl.Density.BOUND})
    assert any("Newcomer" in text for text in words(gl.plots.taxonomy()))
    assert ("Newcomer", "a bound", "yes", "no") in gl.plots.answers().rows
    assert len(gl.plots.answers().rows) == before + 1


def test_taxonomy_of_forty_models_overlaps_nowhere_and_stays_on_its_page(known):
    models = [declared(f"RatherLongName{i:02}", kind) for i in range(7) for kind in gl.Density]
    with plt.rc_context(gl.plots.STYLE):
        ax = gl.plots.taxonomy(models)
        ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not [
        (i, j) for i, a in enumerate(boxes) for j, b in enumerate(boxes) if i < j and a.overlaps(b)
    ]
    page = ax.figure.get_window_extent()
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)
    shown = " ".join(words(ax)).replace("\n", " ")
    assert all(model.__name__ in shown for model in models)


@pytest.mark.covers("F03")
def test_answers_agree_with_what_the_models_do(known):
    """For each fitted model, a query raises exactly where the table says no."""
    x = torch.randn(40, 2)
    classes = [gl.Gaussian, gl.Laplace, gl.Histogram, gl.Parzen, gl.KNearest]
    for row, make in zip(gl.plots.answers(classes).rows, classes, strict=True):
        model = make()
        model.fit(x)
        told = dict(zip(("sample", "encode"), row[2:], strict=True))
        for query, question in {"sample": 3, "encode": x}.items():
            if told[query] == "yes":
                getattr(model, query)(question)
            else:
                with pytest.raises(gl.CannotAnswerError):
                    getattr(model, query)(question)
        assert (row[1] == "exact") == (make is not gl.KNearest)


def test_models_that_answer_alike_share_a_row_of_the_table(known):
    a, c = (declared(name, gl.Density.EXACT, "log_prob", encode="no.") for name in "AC")
    b = declared("B", gl.Density.EXACT, "log_prob", encode="another reason.")
    table = gl.plots.answers([a, b, c])._repr_html_()
    assert table.count("<tr>") == 3  # the head, and two
    assert "<code>A</code>, <code>C</code></td>" in table


def test_answers_give_the_reason_of_a_refusal_and_escape_it(known):
    model = declared("Shy", gl.Density.NONE, "encode", sample="a < b & it is shy.")
    sheet = gl.plots.answers([model])
    assert sheet.rows == [("Shy", "none", "no", "yes")]
    page = sheet._repr_html_()
    assert "a &lt; b &amp; it is shy." in page and page.count("<tr>") == 2
    assert repr(sheet).splitlines()[1].split() == ["Shy", "none", "no", "yes"]


@pytest.mark.parametrize("draw", [gl.plots.taxonomy, gl.plots.answers])
def test_only_classes_of_models_have_a_place(draw):
    with pytest.raises(TypeError, match="subclasses of Model, got Gaussian"):
        draw([gl.Gaussian()])
    with pytest.raises(TypeError, match="subclasses of Model, got 3"):
        draw(3)


@pytest.mark.parametrize("values", [None, "up", object()])
def test_curves_are_made_of_numbers(values):
    with pytest.raises(TypeError, match="ys: 'cost': expected numbers, got"):
        gl.plots.curves(torch.arange(2), {"cost": values})
