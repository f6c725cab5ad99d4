"""Plots: what is drawn is what was given; what cannot be drawn is said; what is saved is whole."""

import errno
import subprocess
import sys
from typing import NamedTuple

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from eqprop.papers import figures as charts
from eqprop.papers.finite_nudge.nudges import nudges
from eqprop.papers.oim.updates import updates
from eqprop.training import files
from eqprop.training.figures import plots

NAN = float("nan")
PNG = b"\x89PNG\r\n\x1a\n"


class Agreement(NamedTuple):
    name: str
    cosine: float
    relative_error: float


def row(epoch, **more):
    base = {
        "epoch": epoch,
        "seconds": 2.5 * epoch,
        "loss": 1.0 / epoch,
        "accuracy": 1 - 0.2 / epoch,
        "validation_loss": 1.5 / epoch,
        "validation_accuracy": 1 - 0.4 / epoch,
    }
    return base | more


def settling(batch=None, steps=6, dtype=np.float64):
    decay = np.exp(-np.arange(steps))
    scale = 1.0 if batch is None else np.linspace(1, 2, batch)[:, None]
    return (scale * decay - 3).astype(dtype), (scale * decay / 10).astype(dtype)


def case(line, value, mean, std=0.5):
    return {"line": line, "value": value, "test_error_percent": {"mean": mean, "std": std}}


def thermal_row(epoch):
    return {"epoch": epoch, "first_cost": 0.5, "objective": 0.4, "last_cost": 0.3}


def way(line):
    return {"line": line, "validation_accuracy": [[0.5, 0.75], [0.7, 0.85]]}


def nudge_line():
    measures = ("cosine_free", "cosine", "gradient_snr", "displacement_snr")
    return {"beta": [0.01, 1.0], **{key: [0.1, 0.5] for key in measures}}


BETAS = np.array([0.01, 0.1, 1.0])
FIGURES = {
    "learning_curves": lambda: plots.learning_curves([row(1), row(2)]),
    "relaxation": lambda: plots.relaxation({"free": settling()}, 1e-3),
    "agreement": lambda: plots.agreement([Agreement("w", 0.75, 0.1)]),
    "beta_sweep": lambda: plots.beta_sweep(BETAS, BETAS / 3, 1.0, 0.01),
    "sweep": lambda: charts.sweep([case("a", 2, 5.0), case("b", 4, 3.0)], "bits"),
    "updates": lambda: updates([1, 2], [0.5, 0.9], [0.5, 1.0]),
    "objective": lambda: plots.objective([thermal_row(1), thermal_row(2)]),
    "accuracies": lambda: charts.accuracies([way("a"), way("b")]),
    "nudges": lambda: nudges({"a": nudge_line(), "b": nudge_line()}),
    "first_layer_weights": lambda: plots.first_layer_weights(np.eye(4), (2, 2, 1)),
    "activity": lambda: plots.activity({"h": np.eye(3)}),
}


def lines(axes):
    return {line.get_label(): np.asarray(line.get_ydata()) for line in axes.lines}


def title(axes):
    return axes.get_title(loc="left")


def panel(figure, label):
    return next(a for a in figure.axes if a.get_ylabel() == label)


# --- All ------------------------------------------------------------------------------------


def test_no_function_leaves_a_figure_open_or_a_setting_changed():
    import matplotlib.pyplot as plt

    plt.close("all")
    before = dict(matplotlib.rcParams)
    figures = [draw() for draw in FIGURES.values()]
    assert all(isinstance(figure, Figure) for figure in figures)
    assert all(figure.canvas.manager is None for figure in figures)
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def test_the_core_does_not_import_matplotlib_nor_plots_pyplot():
    code = (
        "import sys, eqprop; assert 'matplotlib' not in sys.modules\n"
        "import eqprop.training.figures.plots; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "first_layer_weights"])
def test_every_axis_has_labels(name):
    for axes in FIGURES[name]().axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel() or name == "agreement"


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda: plots.learning_curves([]), "learning_curves: rows"),
        (lambda: plots.relaxation({}), "relaxation: traces"),
        (lambda: plots.agreement([]), "agreement: rows"),
        (lambda: plots.beta_sweep({}), "beta_sweep: betas"),
        (lambda: charts.sweep([], "bits"), "sweep: rows"),
        (lambda: charts.accuracies([]), "accuracies: rows"),
        (lambda: nudges({}), "nudges: lines"),
        (lambda: plots.objective([]), "objective: rows"),
        (lambda: plots.activity({}), "activity: shown"),
    ],
)
def test_nothing_to_draw_is_an_error(draw, name):
    with pytest.raises(ValueError, match=rf"{name}: expected at least one .*, got .*; \w+"):
        draw()


# --- Learning curves ------------------------------------------------------------------------


def test_learning_curves_draw_the_rows():
    figure = plots.learning_curves([row(1), row(2), row(4)])
    assert len(figure.axes) == 3
    error, loss = panel(figure, "error (%)"), panel(figure, "mean loss")
    assert (error.get_yscale(), loss.get_yscale()) == ("log", "linear")
    np.testing.assert_allclose(lines(error)["train"], [20, 10, 5])
    np.testing.assert_allclose(lines(error)["validation"], [40, 20, 10])
    np.testing.assert_allclose(lines(loss)["validation"], [1.5, 0.75, 0.375])
    np.testing.assert_array_equal(loss.lines[0].get_xdata(), [1, 2, 4])
    time = panel(figure, "time since the start (s)")
    np.testing.assert_array_equal(time.lines[0].get_ydata(), [2.5, 5, 10])
    assert time.get_legend() is None and error.get_legend() is not None


def test_relaxation_panels_follow_the_keys():
    rows = [row(1, free_steps=9.0, nudged_steps=4.0, free_converged=0.5), row(2, free_steps=7.0)]
    figure = plots.learning_curves(rows)
    assert len(figure.axes) == 5
    steps = lines(panel(figure, "relaxation steps"))
    np.testing.assert_array_equal(steps["free"], [9, 7])
    np.testing.assert_array_equal(steps["nudged"], [4, NAN])
    assert list(lines(panel(figure, "fraction converged"))) == ["free"]
    assert panel(figure, "fraction converged").get_ylim() == (0, 1)
    assert title(panel(figure, "relaxation steps")) == "(1 of 4 values not finite)"
    rows = [row(1, free_residual=1e-4)]
    assert panel(plots.learning_curves(rows), "relative residual").get_yscale() == "log"


def test_no_error_and_no_number_are_gaps_that_the_title_counts(tmp_path):
    rows = [row(1, accuracy=1.0), row(2, validation_accuracy=None), row(3, loss=np.inf)]
    figure = plots.learning_curves(rows)
    error, loss = panel(figure, "error (%)"), panel(figure, "mean loss")
    np.testing.assert_allclose(lines(error)["train"], [0, 10, 20 / 3])
    assert error.get_yscale() == "symlog" and 0 in error.get_yticks()
    np.testing.assert_allclose(lines(loss)["train"], [1, 0.5, NAN])
    assert title(error) == "(1 of 6 values not finite)"
    assert title(loss) == "(1 of 6 values not finite)"
    plots.save(plots.learning_curves([dict.fromkeys(row(1), NAN)]), tmp_path / "gaps.png")


def test_a_regression_has_curves_of_its_loss():
    rows = [{k: v for k, v in row(at).items() if "accuracy" not in k} for at in (1, 2)]
    titles = [axes.get_ylabel() for axes in plots.learning_curves(rows).axes]
    assert "error (%)" not in titles and any("loss" in title for title in titles)


def test_a_row_without_a_key_is_an_error():
    broken = row(2)
    del broken["loss"]
    with pytest.raises(ValueError, match=r"rows\[1\]: expected the keys .*, got no \['loss'\]"):
        plots.learning_curves([row(1), broken])


# --- Relaxation -----------------------------------------------------------------------------


def test_relaxation_draws_the_excess_energy_and_the_residual():
    energy, residual = settling()
    figure = plots.relaxation({"free": (energy, residual)}, tolerance=1e-3)
    left, right = figure.axes
    assert left.get_yscale() == right.get_yscale() == "log"
    np.testing.assert_allclose(lines(left)["free"][:-1], (energy - energy[-1])[:-1])
    np.testing.assert_array_equal(lines(right)["free"], residual)
    np.testing.assert_array_equal(lines(right)["tolerance 0.001"], [1e-3, 1e-3])
    assert not left.collections


def test_without_a_tolerance_there_is_no_line():
    figure = plots.relaxation({"free": settling(), "β = +0.5": settling()})
    assert all(list(lines(axes)) == ["free", "β = +0.5"] for axes in figure.axes)
    assert len({line.get_color() for line in figure.axes[0].lines}) == 2


def test_a_batch_gives_its_median_and_a_band():
    energy, residual = settling(batch=11)
    _, right = plots.relaxation({"free": (energy, residual)}).axes
    np.testing.assert_allclose(lines(right)["free"], np.median(residual, axis=0))
    (band,) = right.collections
    edges = band.get_paths()[0].vertices
    at_start = edges[edges[:, 0] == 0, 1]
    low, high = np.percentile(residual[:, 0], (10, 90))
    np.testing.assert_allclose((at_start.min(), at_start.max()), (low, high))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_energy_at_its_minimum_is_drawn_at_rounding(dtype):
    energy = np.array([-7.0, -8.0, -8.0], dtype)
    left, right = plots.relaxation({"free": (energy, np.zeros(3, dtype))}).axes
    eps = np.finfo(dtype).eps
    np.testing.assert_array_equal(lines(left)["free"], [1, 8 * eps, 8 * eps])
    np.testing.assert_array_equal(lines(right)["free"], [eps] * 3)


def test_a_trace_that_diverged_is_a_gap(tmp_path):
    energy, residual = settling(batch=2, steps=4)
    energy[0, 2:], residual[:, 3] = np.inf, NAN
    figure = plots.relaxation({"free": (energy, residual)})
    left, right = figure.axes
    assert title(left) == "(2 of 8 values not a positive number)"
    np.testing.assert_array_equal(np.isnan(lines(right)["free"]), [False, False, False, True])
    nothing = np.full(3, NAN)
    plots.save(plots.relaxation({"free": (nothing, nothing)}, 1e-3), tmp_path / "nan.png")


@pytest.mark.parametrize(
    ("energy", "residual"), [((3,), (4,)), ((0,), (0,)), ((), ()), ((2, 3, 4), (2, 3, 4))]
)
def test_traces_of_other_shapes_are_an_error(energy, residual):
    pair = np.zeros(energy), np.zeros(residual)
    with pytest.raises(ValueError, match=r"traces\['free'\]: expected two of .*trace"):
        plots.relaxation({"free": pair})


@pytest.mark.parametrize("tolerance", [0.0, -1.0, NAN])
def test_a_tolerance_that_no_axis_shows_is_an_error(tolerance):
    with pytest.raises(ValueError, match="relaxation: tolerance: expected > 0"):
        plots.relaxation({"free": settling()}, tolerance)


# --- Agreement ------------------------------------------------------------------------------


def test_agreement_draws_a_line_a_parameter_from_the_top():
    rows = [Agreement("w", 0.75, 0.5), Agreement("b", -1.0, 2.0), Agreement("c", NAN, 0.1)]
    left, right = plots.agreement(rows).axes
    assert left.get_xscale() == right.get_xscale() == "log"
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [0.25, 2, NAN])
    np.testing.assert_array_equal(right.lines[0].get_xdata(), [0.5, 2, 0.1])
    assert [text.get_text() for text in left.get_yticklabels()] == ["w", "b", "c"]
    for axes in (left, right):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0, 1, 2])
        assert axes.yaxis_inverted()
    assert "1 of 3" in title(left) and title(right) == ""


def test_perfect_agreement_is_drawn_at_rounding():
    left, right = plots.agreement([Agreement("w", 1 + 1e-16, 0.0)]).axes
    for axes in (left, right):
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), [np.finfo(float).eps])


# --- Nudges ---------------------------------------------------------------------------------


def test_sweep_draws_a_line_over_values_in_order():
    rows = [case("a", 8, 3.0), case("a", 2, 9.0), case("b", 4, NAN), case("a", 4, 5.0)]
    (axes,) = charts.sweep(rows, "bits").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "4", "8"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [9.0, 5.0, 3.0])
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [0, 1, 2])
    assert axes.get_xlabel() == "bits"
    assert "1" in title(axes)


@pytest.mark.parametrize(("least", "plain"), [(2.0, True), (0.02, False)])
def test_a_short_logarithmic_axis_has_numbers_without_powers(least, plain):
    figure = charts.curves({"": {"a": ((1, 2), (least, 40.0))}}, ("T",), "error (%)")
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels(which="both")]
    assert ("10" in labels) is plain
    assert any("^" in label for label in labels) is not plain


def test_updates_need_a_norm_a_step():
    with pytest.raises(ValueError, match="updates: expected 2 norms, one a step, got 1 and 2"):
        updates([1, 2], [0.5], [0.5, 1.0])


def test_beta_sweep_draws_errors_order_and_best():
    betas = np.array([0.1, 0.01, 0.001, 1.0])
    errors = np.array([0.03, 3e-4, 2e-3, 3.0])
    (axes,) = plots.beta_sweep(betas, errors, order=2.0, best=0.01, label="symmetric").axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    sweep, ring, slope = axes.lines
    np.testing.assert_array_equal(sweep.get_xdata(), np.sort(betas))
    np.testing.assert_array_equal(sweep.get_ydata(), errors[np.argsort(betas)])
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (0.01, 3e-4)
    np.testing.assert_array_equal(slope.get_xdata(), [0.01, 0.1])
    np.testing.assert_allclose(slope.get_ydata(), [3e-4, 0.03])
    (text,) = axes.get_legend().get_texts()
    assert text.get_text() == "symmetric, best |β| = 0.01, order 2.00"


def test_sweeps_overlay_and_an_unknown_order_has_no_line():
    sweep = (np.array([-0.1, -1.0]), np.array([0.1, 0.0]), NAN, -0.1)
    figure = plots.beta_sweep({"one": sweep, "two": (*sweep[:2], 1.0, None)})
    (axes,) = figure.axes
    assert len(axes.get_legend().get_texts()) == 2
    assert [line.get_linestyle() for line in axes.lines].count("--") == 1
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [0.1, 1])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.1, NAN])
    assert title(axes) == "(2 of 4 values not a positive number)"


@pytest.mark.parametrize(
    ("betas", "errors"),
    [([0.1, 0.2], [1.0]), ([0.0, 0.1], [1.0, 1.0]), ([], []), ([NAN], [1.0]), ([[0.1]], [[1.0]])],
)
def test_sweeps_of_other_shapes_are_an_error(betas, errors):
    with pytest.raises(
        ValueError, match="beta_sweep: EP: expected nonzero betas with an error each"
    ):
        plots.beta_sweep(np.array(betas), np.array(errors), 1.0, 0.1)


# --- Weights --------------------------------------------------------------------------------


def test_dense_weights_are_fields_in_the_order_of_their_norms():
    weight = np.random.default_rng(0).normal(size=(16 * 17, 5)) * [1, 3, 2, 5, 4]
    figure = plots.first_layer_weights(weight, (16, 17, 1), count=4)
    image = np.ma.filled(figure.axes[0].images[0].get_array(), NAN)
    assert image.shape == (33, 35)
    tiles = [image[r : r + 16, c : c + 17] for r in (0, 17) for c in (0, 18)]
    for tile, unit in zip(tiles, (3, 4, 1, 2), strict=True):
        np.testing.assert_array_equal(tile, weight[:, unit].reshape(16, 17))
    assert np.isnan(image[16]).all() and np.isnan(image[:, 17]).all()
    assert title(figure.axes[0]) == "4 of 5 units, largest norm first"


def test_the_colour_scale_is_symmetric_about_zero():
    weight = np.array([[-3.0, 1.0], [0.5, 0.0]])
    figure = plots.first_layer_weights(weight, (1, 2, 1))
    image, colours = figure.axes
    assert image.images[0].get_clim() == (-3, 3)
    assert image.images[0].cmap.name == "RdBu_r"
    assert colours.get_ylabel() == "weight"


@pytest.mark.parametrize("shape", [(4, 4, 2, 3), (32, 3)])
def test_two_channels_are_shown_by_their_mean_and_enlarged(shape):
    weight = np.random.default_rng(1).normal(size=shape)
    figure = plots.first_layer_weights(weight, (4, 4, 2))
    fields = weight.reshape(4, 4, 2, 3)
    strongest = fields[..., np.argmax(np.sum(fields**2, axis=(0, 1, 2)))].mean(axis=-1)
    shown = np.asarray(figure.axes[0].images[0].get_array())[:16, :16]
    np.testing.assert_array_equal(shown, strongest.repeat(4, 0).repeat(4, 1))


def test_three_channels_are_colours_with_grey_for_zero():
    kernel = np.zeros((16, 16, 3, 1))
    kernel[0, 0, :, 0] = 2.0, -2.0, 1.0
    figure = plots.first_layer_weights(kernel, (32, 32, 3))
    (axes,) = figure.axes
    image = np.asarray(axes.images[0].get_array())
    np.testing.assert_array_equal(image[0, 0], [1, 0, 0.75])
    np.testing.assert_array_equal(image[1:], 0.5)


@pytest.mark.parametrize("shape", [(2, 2, 1), (2, 2, 3)])
def test_weights_that_are_not_numbers_are_gaps(shape, tmp_path):
    weight = np.ones((np.prod(shape), 2))
    weight[:, 0] = NAN
    figure = plots.first_layer_weights(weight, shape)
    assert title(figure.axes[0]).endswith(f"({len(weight)} of {weight.size} values not finite)")
    plots.save(plots.first_layer_weights(weight[:, :1], shape), tmp_path / "nan.png")


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((5, 2), (2, 2, 1)),
        ((4, 0), (2, 2, 1)),
        ((4,), (2, 2, 1)),
        ((3, 3, 3, 2), (8, 8, 1)),
        ((4, 2), (2, 2)),
    ],
)
def test_weights_that_do_not_fit_the_image_are_an_error(shape, image):
    with pytest.raises(
        ValueError, match=r"weight: expected \(.*\) or \(k, k.*got .*image_shape = "
    ):
        plots.first_layer_weights(np.ones(shape), image)


def test_no_fields_to_show_is_an_error():
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        plots.first_layer_weights(np.eye(4), (2, 2, 1), count=0)


# --- Activity -------------------------------------------------------------------------------


def test_activity_counts_shares_and_saturation():
    shown = np.array([[0.0, 0.0, 0.0005, 0.5], [0.9, 1.0, 0.25, 0.75]])
    (axes,) = plots.activity({"h": shown}).axes
    heights = np.array([patch.get_height() for patch in axes.patches])
    expected = np.histogram(shown, 30, (0, 1))[0] / 8 * 100
    np.testing.assert_allclose(heights, expected)
    assert title(axes) == "h: 38 % at 0, 12 % at 1"


@pytest.mark.parametrize(("layers", "panels"), [(1, 1), (5, 5), (13, 12)])
def test_activity_has_at_most_twelve_panels(layers, panels):
    figure = plots.activity({f"h{i}": np.eye(2) for i in range(layers)})
    assert [title(axes).split(":")[0] for axes in figure.axes] == [f"h{i}" for i in range(panels)]
    assert figure.get_suptitle() == ("The first 12 of 13 layers" if layers > 12 else "")


@pytest.mark.parametrize("value", [0.5, 0.0, 1e9, -3.0])
def test_a_silent_layer_is_drawn(value, tmp_path):
    figure = plots.activity({"h": np.full((2, 3), value)})
    assert title(figure.axes[0]) == f"h: 100 % at {value:.2g}, 100 % at {value:.2g}"
    assert sum(patch.get_height() for patch in figure.axes[0].patches) == pytest.approx(100)
    plots.save(figure, tmp_path / "silent.png")


def test_a_layer_that_diverged_is_counted(tmp_path):
    figure = plots.activity({"some": np.array([1.0, NAN, 0.0]), "none": np.array([NAN, np.inf])})
    assert title(figure.axes[0]) == "some: 50 % at 0, 50 % at 1\n(1 of 3 values not finite)"
    assert title(figure.axes[1]) == "none\n(2 of 2 values not finite)"
    plots.save(figure, tmp_path / "diverged.png")


# --- Saving ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_saves_without_a_warning(name, tmp_path):
    figure = FIGURES[name]()
    path = plots.save(figure, tmp_path / "new" / "folder" / "plot.png")
    content = path.read_bytes()
    assert content.startswith(PNG)
    width = int.from_bytes(content[16:20], "big")
    assert width == pytest.approx(150 * figure.get_figwidth(), abs=1)
    assert list(path.parent.iterdir()) == [path]


def test_saving_replaces_an_older_file(tmp_path):
    path = tmp_path / "plot.png"
    path.write_bytes(b"old")
    assert plots.save(FIGURES["activity"](), str(path)) == path
    assert path.read_bytes().startswith(PNG)


def test_a_full_disk_leaves_the_older_file_and_nothing_else(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "plot.png"
    path.write_bytes(b"old")
    figure = FIGURES["activity"]()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Cannot write .*plot\.png: .*free some space") as caught:
            plots.save(figure, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("stop", [PermissionError(errno.EACCES, "denied"), KeyboardInterrupt()])
def test_a_rename_that_fails_leaves_nothing(stop, tmp_path, monkeypatch):
    def replace(*_):
        assert len(list(tmp_path.iterdir())) == 1
        raise stop

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises((OSError, KeyboardInterrupt)):
        plots.save(FIGURES["activity"](), tmp_path / "plot.png")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"Cannot write .*file/plot\.png: .*choose another folder"):
        plots.save(FIGURES["activity"](), tmp_path / "file" / "plot.png")


def test_a_name_that_is_no_png_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"save: path: expected a name ending in \.png"):
        plots.save(FIGURES["activity"](), tmp_path / "plot.pdf")
    assert list(tmp_path.iterdir()) == []


def test_accuracies_are_means_over_seeds():
    (axes,) = charts.accuracies([way("a")]).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [60.0, 80.0])


def test_nudges_show_each_measure_against_beta():
    figure = nudges({"a": nudge_line()})
    assert [axes.get_xscale() for axes in figure.axes] == ["log"] * 4
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), [0.1, 0.5])
