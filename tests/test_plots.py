"""The picture shows the numbers it was given and refuses numbers that do not fit together."""

import sys
from subprocess import run

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from pymc_jaxdist.datasets import load_earthquakes
from pymc_jaxdist.errors import ShapeError
from pymc_jaxdist.plots import (
    plot_forecast,
    plot_pseudo_residuals,
    plot_solution,
    plot_state_densities,
    plot_state_probabilities,
    plot_transition_matrix,
)

T, K = 12, 3


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def series():
    return np.random.default_rng(1).poisson(10, T).astype(float)


@pytest.fixture
def probs():
    return np.random.default_rng(2).dirichlet(np.ones(K), size=(2, 5, T))


def test_stack_reaches_from_zero_to_one_with_one_step_per_time(series, probs):
    _, (_, lower) = plot_state_probabilities(series, probs)
    assert len(lower.collections) == K
    mean = probs.mean(axis=(0, 1))
    top = np.zeros(T)
    for state, area in enumerate(lower.collections):
        top = top + mean[:, state]
        vertices = area.get_paths()[0].vertices
        for t in range(T):
            heights = vertices[np.abs(vertices[:, 0] - t) == 0.5, 1]
            assert np.isclose(heights, top[t]).any()
    np.testing.assert_allclose(top, 1)
    assert lower.get_ylim() == (0, 1)
    assert lower.get_xlim() == (-0.5, T - 0.5)


def test_each_value_has_the_colour_of_its_most_probable_state(series, probs):
    _, (upper, lower) = plot_state_probabilities(series, probs)
    state_colors = np.array([area.get_facecolor()[0] for area in lower.collections])
    shown = upper.collections[0].get_facecolor()
    np.testing.assert_allclose(shown, state_colors[probs.mean(axis=(0, 1)).argmax(axis=1)])


def test_labels_come_from_the_coordinates(series, probs):
    labelled = xr.DataArray(
        probs,
        dims=("chain", "draw", "year", "state"),
        coords={"year": 1900 + np.arange(T), "state": ["low", "middle", "high"]},
    )
    _, (upper, lower) = plot_state_probabilities(series, labelled)
    assert lower.get_xlabel() == "year"
    assert lower.get_xlim() == (1899.5, 1911.5)
    assert [text.get_text() for text in upper.get_legend().get_texts()] == ["low", "middle", "high"]
    np.testing.assert_allclose(upper.collections[0].get_offsets()[:, 0], 1900 + np.arange(T))


def test_mean_level_is_the_weighted_level(series, probs):
    levels = np.array([5.0, 10.0, 20.0])
    _, (upper, _) = plot_state_probabilities(series, probs, state_levels=levels)
    at_times = upper.lines[1].get_ydata()[::2]
    np.testing.assert_allclose(at_times, probs.mean(axis=(0, 1)) @ levels)


@pytest.mark.parametrize("n_times", [1, 2, T])
@pytest.mark.parametrize("dates", [False, True], ids=["numbers", "dates"])
def test_any_length_and_kind_of_time_draws(series, probs, n_times, dates):
    times = np.arange(n_times)
    if dates:
        times = np.datetime64("2020-01-01", "ns") + times.astype("timedelta64[D]")
    figure, _ = plot_state_probabilities(series[:n_times], probs[..., :n_times, :], times)
    figure.canvas.draw()


def test_missing_values_are_left_out(series, probs):
    masked = np.ma.masked_array(series, mask=np.arange(T) == 3)
    _, (upper, _) = plot_state_probabilities(masked, probs)
    assert np.isnan(upper.lines[0].get_ydata()[3])
    assert np.isfinite(np.delete(upper.lines[0].get_ydata(), 3)).all()


def test_a_path_is_a_strip_above_the_probabilities(series, probs):
    path = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, -1, -1])
    _, (_, lower) = plot_state_probabilities(series, probs, path=path)
    strips = lower.collections[K:]
    ends = [(p.vertices[:, 0].min(), p.vertices[:, 0].max()) for s in strips for p in s.get_paths()]
    assert ends == [(-0.5, 3.5), (3.5, 7.5), (7.5, 9.5)]
    for strip, area in zip(strips, lower.collections, strict=False):
        np.testing.assert_array_equal(strip.get_facecolor(), area.get_facecolor())


def test_state_densities_are_weighted_by_the_shares_and_add_up():
    grid = np.linspace(-4, 9, 201)
    means = np.array([[0.0, 5.0], [0.2, 5.2]])
    densities = np.exp(-0.5 * (grid[:, None] - means[:, None]) ** 2) / np.sqrt(2 * np.pi)
    observed = np.ma.masked_invalid([[0.0, np.nan], [5.0, 5.5]])
    _, ax = plot_state_densities(observed, densities, grid, [[0.3, 0.7], [0.5, 0.5]])
    first, second, total = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(first, 0.4 * densities[..., 0].mean(axis=0))
    np.testing.assert_allclose(first + second, total)
    np.testing.assert_allclose(np.trapezoid(total, grid), 1, atol=1e-3)
    assert len(ax.collections) == 2  # a band of uncertainty for each state


def test_counts_have_a_bar_for_each_value():
    densities = np.array([[0.7, 0.1], [0.2, 0.3], [0.1, 0.6]])
    _, ax = plot_state_densities([0, 0, 2, 0], densities, [0, 1, 2], [0.5, 0.5], discrete=True)
    assert {bar.get_center()[0]: bar.get_height() for bar in ax.patches} == {0: 0.75, 2: 0.25}


def test_a_transition_matrix_is_written_with_its_interval():
    draws = np.linspace(0.8, 1.0, 101)
    matrix = np.stack(
        [np.stack([draws, 1 - draws], -1), np.stack([0 * draws, 0 * draws + 1], -1)], 1
    )
    labelled = xr.DataArray(
        matrix[None], dims=("chain", "draw", "s", "to"), coords={"s": ["calm", "wild"]}
    )
    _, ax = plot_transition_matrix(labelled)
    assert [t.get_text() for t in ax.texts][:2] == ["0.90\n[0.81, 0.99]", "0.10\n[0.01, 0.19]"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["calm", "wild"]


def test_residuals_of_noise_lie_on_the_line_and_in_the_band():
    residuals = np.random.default_rng(3).normal(size=(1, 5000))
    residuals[0, 7] = np.nan
    _, (quantiles, correlation) = plot_pseudo_residuals(residuals)
    points = quantiles.lines[-1]
    middle = np.abs(points.get_xdata()) < 2
    np.testing.assert_allclose(points.get_ydata()[middle], points.get_xdata()[middle], atol=0.15)
    bars = np.array([path.vertices[1, 1] for path in correlation.collections[0].get_paths()])
    assert len(bars) == 20
    assert np.abs(bars).max() < 0.06


def test_correlated_residuals_show():
    noise = np.random.default_rng(4).normal(size=2001)
    _, (_, correlation) = plot_pseudo_residuals((noise[1:] + noise[:-1]) / np.sqrt(2))
    bars = [path.vertices[1, 1] for path in correlation.collections[0].get_paths()]
    assert abs(bars[0] - 0.5) < 0.06
    assert max(np.abs(bars[1:])) < 0.1


def test_a_forecast_fan_has_the_quantiles_of_the_draws():
    draws = np.linspace(0, 1, 1001)[:, None] * np.array([1.0, 2.0])
    _, ax = plot_forecast([0.0, 0.5, 0.1], draws, n_shown=2)
    shown, median = ax.lines
    np.testing.assert_array_equal(shown.get_xdata(), [1, 2])
    np.testing.assert_allclose(median.get_ydata(), [0.5, 1.0])
    widest = ax.collections[0].get_paths()[0].vertices
    assert np.isclose(widest[:, 1].max(), 2 * 0.975)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_state_densities([1.0], np.ones((4, 2)), np.ones(3), [0.5, 0.5]),
        lambda: plot_state_densities([1.0], np.ones((3, 2)), np.ones(3), [1.0]),
        lambda: plot_transition_matrix(np.ones((2, 3))),
        lambda: plot_transition_matrix(np.eye(2), state_names=["a"]),
        lambda: plot_pseudo_residuals(np.full(5, np.nan)),
        lambda: plot_forecast(np.ones((2, 3)), np.ones((4, 2))),
        lambda: plot_forecast(np.ones(3), np.ones((4, 2)), times=np.arange(3)),
    ],
)
def test_arguments_of_other_pictures_that_do_not_fit_are_refused(draw):
    with pytest.raises(ShapeError, match=r"plot_\w+: [\s\S]*got"):
        draw()


def test_draws_into_given_axes(series, probs):
    figure, panels = plt.subplots(2)
    returned, axes = plot_state_probabilities(series, probs, axes=panels)
    assert returned is figure
    assert axes[0] is panels[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observed": np.ones(T + 1)}, "observed must be one series as long as probs"),
        ({"observed": np.ones((T, 2))}, "observed must be one series as long as probs"),
        ({"probs": np.ones(T)}, "probs must have a time and a state dimension"),
        ({"times": np.arange(T - 1)}, "times must be as long as probs"),
        ({"state_names": ["a", "b"]}, "state_names must name every state"),
        ({"state_levels": [1.0, 2.0]}, "state_levels must give one value per state"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(series, probs, change, message):
    with pytest.raises(ValueError, match=message):
        plot_state_probabilities(**{"observed": series, "probs": probs, **change})


@pytest.mark.slow
def test_matplotlib_is_not_imported_before_a_picture_is_drawn():
    # ArviZ 0.23, which PyMC 5 imports, imports pyplot itself: only what we add counts.
    script = (
        "import sys, pymc; before = 'matplotlib.pyplot' in sys.modules; "
        "import pymc_jaxdist.plots; print(before == ('matplotlib.pyplot' in sys.modules))"
    )
    done = run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_saves_the_picture_of_the_earthquakes(tmp_path):
    quakes = load_earthquakes()
    levels = np.array([13.1, 19.7, 29.7])
    logits = -((quakes.count[:, None] - levels) ** 2) / 40
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    figure, _ = plot_state_probabilities(
        quakes.count,
        probs,
        quakes.year,
        state_names=["quiet", "middle", "active"],
        state_levels=levels,
        xlabel="year",
        ylabel="earthquakes per year",
    )
    path = tmp_path / "earthquakes.png"
    figure.savefig(path, dpi=150)
    assert path.stat().st_size > 20_000


def test_a_solution_has_a_panel_for_each_channel():
    draws = np.random.default_rng(0).normal(size=(2, 10, 5, 3))
    _, axes = plot_solution(
        draws, observed=np.zeros((4, 3)), observed_times=np.arange(4.0), names=list("abc")
    )
    assert [panel.get_title(loc="left") for panel in axes] == ["a", "b", "c"]
    assert len(axes[0].collections) == 2
    with pytest.raises(ShapeError, match="times must be as long"):
        plot_solution(draws, times=[1.0, 2.0])
    with pytest.raises(ShapeError, match="observed_times must be as long as observed"):
        plot_solution(draws, observed=np.zeros((4, 3)))
    with pytest.raises(ShapeError, match="observed has too many dimensions"):
        plot_solution(draws, observed=np.zeros((2, 4, 3)))


def solution_of_subjects(n_subjects=3, **coords):
    values = np.random.default_rng(0).normal(size=(2, 10, n_subjects, 5, 2))
    return xr.DataArray(values, dims=("chain", "draw", "site", "time", "state"), coords=coords)


def test_a_solution_has_a_row_for_each_subject():
    draws = solution_of_subjects(site=["x", "y", "z"], state=["hare", "lynx"])
    _, axes = plot_solution(draws, observed=np.arange(15.0).reshape(3, 5))
    assert axes.shape == (3, 2)
    assert axes[2, 1].get_title(loc="left") == "site z, lynx"
    ribbon = axes[1, 1].lines[0].get_ydata()
    np.testing.assert_allclose(ribbon, np.median(draws[:, :, 1, :, 1], axis=(0, 1)))
    np.testing.assert_allclose(axes[1, 0].lines[1].get_ydata(), np.arange(5.0, 10.0))
    assert len(axes[1, 1].lines) == 1, "nothing was observed of the second channel"


def test_subjects_of_one_channel_have_their_own_times():
    times = np.array([[3.0, 1.0, 2.0, 4.0, 5.0], [1.0, 2.0, np.nan, np.nan, np.nan]])
    draws = solution_of_subjects(2, times=(("site", "time"), times))[..., 0]
    draws[:, :, 1, 2:] = np.nan
    _, axes = plot_solution(draws)
    assert axes.shape == (2,)
    np.testing.assert_allclose(axes[0].lines[0].get_xdata(), [1.0, 2.0, 3.0, 4.0, 5.0])
    np.testing.assert_allclose(axes[1].lines[0].get_xdata(), [1.0, 2.0])
    assert [panel.get_title(loc="left") for panel in axes] == ["site 0", "site 1"]


def test_a_solution_of_subjects_that_cannot_be_drawn_is_refused():
    with pytest.raises(ShapeError, match=r"too many panels[\s\S]*isel"):
        plot_solution(solution_of_subjects(40))
    with pytest.raises(ShapeError, match="a row for each subject"):
        plot_solution(solution_of_subjects(), observed=np.zeros((5, 2)))
    with pytest.raises(ShapeError, match="one dimension after time"):
        plot_solution(solution_of_subjects().expand_dims("more", axis=-1))
