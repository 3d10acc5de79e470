"""The picture shows the numbers it was given and refuses numbers that do not fit together."""

import sys
from subprocess import run

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from pymc_jaxdist.datasets import load_earthquakes
from pymc_jaxdist.errors import ShapeError
from pymc_jaxdist.plots import plot_solution, plot_state_probabilities

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
    figure, axes = plot_solution(
        draws, observed=np.zeros((4, 3)), observed_times=np.arange(4.0), names=list("abc")
    )
    assert [panel.get_title(loc="left") for panel in axes] == ["a", "b", "c"]
    assert len(axes[0].collections) == 2
    with pytest.raises(ShapeError, match="times must be as long"):
        plot_solution(draws, times=[1.0, 2.0])
    figure.clear()
