"""Where sampling starts: near the states that made the data, for emissions of any kind."""

import itertools

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pymc.distributions.transforms import ordered

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError
from pymc_jaxdist.posterior.closest_paths import closest_paths
from pymc_jaxdist.posterior.clustering import cluster_observations
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior

STAY = 0.9 * np.eye(3) + 0.1 / 3
TRUE_PATH = np.repeat([0, 2, 1, 0, 2, 1], 20)


@pytest.fixture(scope="module")
def three_sites():
    """Two channels of three states at two sites of different lengths, one with a gap."""
    rng = np.random.default_rng(0)
    levels, angles = np.array([1.0, 4.0, 20.0]), np.array([-2.0, 0.0, 2.0])
    y = np.stack(
        [rng.gamma(9.0, levels[TRUE_PATH] / 9.0), rng.vonmises(angles[TRUE_PATH], 5.0)], -1
    )
    y = np.stack([y, y])
    y[0, 10:15] = np.nan
    return y


@pytest.mark.slow
def test_a_start_is_near_the_states_that_made_the_data(three_sites):
    with pm.Model() as model:
        log_level = pm.Normal("log_level", np.zeros(3), 3.0, transform=ordered, initval=[-1, 0, 1])
        angle = pm.VonMises("angle", 0.0, 0.1, shape=3)
        kappa = pm.Exponential("kappa", 0.2)
        P = pmj.sticky_dirichlet("P", 3)
        emission = (
            pm.Gamma.dist(mu=pm.math.exp(log_level), sigma=pm.math.exp(log_level) / 3),
            pm.VonMises.dist(angle, kappa),
        )
        pmj.MarginalHMM("y", emission, P, lengths=[120, 100], observed=three_sites)
    start = pmj.initial_values("y", model=model, random_seed=1)
    assert set(start) == {"log_level", "angle", "kappa", "P"}
    seen = np.concatenate([three_sites[0], three_sites[1, :100]])
    states = np.concatenate([TRUE_PATH, TRUE_PATH[:100]])
    means = [np.nanmean(seen[states == k, 0]) for k in range(3)]
    assert_allclose(np.exp(start["log_level"]), means, rtol=0.05)
    assert_allclose(start["angle"], [-2.0, 0.0, 2.0], atol=0.15)
    assert 3 < start["kappa"] < 8
    assert (np.diag(start["P"]) > 0.85).all()
    # As pm.sample reads them.
    point = pm.initial_point.make_initial_point_fn(
        model=model, overrides=start, return_transformed=False
    )(0)
    assert_allclose(point["log_level"], start["log_level"])


def test_states_that_differ_in_scale_alone_are_found():
    rng = np.random.default_rng(1)
    scales = np.array([1.0, 6.0])
    y = rng.normal(scale=scales[np.repeat([0, 1, 0, 1], 50)])
    with pm.Model() as model:
        sigma = pm.HalfNormal("sigma", 5.0, shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(0.0, sigma), pmj.sticky_dirichlet("P", 2), observed=y)
    start = pmj.initial_values("y", model=model, random_seed=1)
    assert_allclose(np.sort(start["sigma"]), scales, rtol=0.2)


@pytest.mark.slow
def test_clusters_that_cannot_follow_one_another_give_way_to_states_that_can():
    """States 0, 1 and 2 follow one another in this order; the data skip one of them."""
    rng = np.random.default_rng(3)
    levels, skipping = np.array([0.0, 5.0, 10.0]), np.repeat([0, 2, 0, 1, 2, 0], 15)
    y = rng.normal(levels[skipping], 0.5)
    with pm.Model() as model:
        mu = pm.Normal("mu", 5.0, 5.0, shape=3)
        leave = pm.Beta("leave", 1.0, 5.0)
        P = (1 - leave) * np.eye(3) + leave * np.roll(np.eye(3), 1, axis=1)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 0.5), P, "uniform", observed=y)
    start = pmj.initial_values("y", model=model, random_seed=1)
    assert_allclose(np.sort(start["mu"]), levels, atol=0.6)
    idata = {
        "posterior": xr.Dataset(
            {k: (("chain", "draw", *"k"[: v.ndim]), v[None, None]) for k, v in start.items()},
            coords={"chain": [0], "draw": [0]},
        )
    }
    path = pmj.decode_states(idata, "y", "viterbi", model=model)
    assert np.isfinite(path.coords["log_prob"]).all()


def test_states_that_no_path_can_take_say_so():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0, shape=2)
        pmj.MarginalHMM(
            "y",
            pm.Normal.dist(mu, 0.1),
            np.eye(2),
            "uniform",
            allowed_states=[0, -1, 1],
            observed=[0.0, 0.0, 5.0],
        )
    with pytest.raises(ParameterError, match=r"impossible at the initial point[\s\S]*allowed"):
        pmj.initial_values("y", model=model)


@pytest.mark.slow
def test_clusters_longer_than_the_longest_stay_give_way_to_shorter_stays():
    rng = np.random.default_rng(4)
    levels, path = np.array([0.0, 5.0]), np.repeat([0, 1, 0, 1, 0, 1], [4, 12, 3, 5, 9, 2])
    y = np.stack([rng.normal(levels[path], 0.5), rng.normal(levels[1 - path], 0.5)])
    y[0, 7] = np.nan
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0, shape=2)
        rate = pm.Gamma("rate", 2.0, 0.5, shape=2)
        pmj.MarginalHSMM(
            "y",
            pm.Normal.dist(mu, 1.0),
            1 - np.eye(2),
            pm.Poisson.dist(rate),
            max_duration=5,
            lengths=[35, 30],
            observed=y,
        )
    start = pmj.initial_values("y", model=model, random_seed=1)
    assert_allclose(start["mu"], levels, atol=1.0)
    assert np.isfinite(sum(model.point_logps(_transformed(model, start)).values()))


@pytest.mark.slow
def test_the_closest_path_departs_as_little_as_can_be():
    """Against a list of all paths of stays of at most two."""
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        stays = pm.DiscreteUniform.dist(1, 2)
        y = np.zeros(6)
        pmj.MarginalHSMM("y", pm.Normal.dist(mu, 1.0), 1 - np.eye(2), stays, observed=y)
    draws = xr.Dataset({"mu": (("chain", "draw", "k"), np.zeros((1, 1, 2)))})
    idata = {"posterior": draws.assign_coords(chain=[0], draw=[0])}
    found = HiddenMarkovPosterior.find("test", idata, "y", model)
    possible = [
        path
        for path in itertools.product(range(2), repeat=6)
        if all(len(list(stay)) <= 2 for _, stay in itertools.groupby(path))
    ]
    for guess in np.array(list(itertools.product([-1, 0, 1], repeat=6)))[::29]:
        departures = [np.sum((guess >= 0) & (guess != path)) for path in np.array(possible)]
        nearest = closest_paths(found, guess)
        assert tuple(nearest) in possible
        assert np.sum((guess >= 0) & (guess != nearest)) == min(departures)


def _transformed(model, start):
    """The point of a model at given values of its variables."""
    make = pm.initial_point.make_initial_point_fn(model=model, overrides=start)
    return make(0)


@pytest.mark.slow
def test_a_semi_markov_model_starts_from_stays_as_long_as_those_in_the_data():
    rng = np.random.default_rng(2)
    further, levels = np.array([4.0, 12.0]), np.array([0.0, 5.0])
    stays = 1 + rng.poisson(np.tile(further, 20))
    path = np.repeat(np.tile([0, 1], 20), stays)
    y = rng.normal(levels[path], 1.0)
    y[[30, 31]] = np.nan
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0, shape=2)
        rate = pm.Gamma("rate", 2.0, 0.2, shape=2)
        pmj.MarginalHSMM(
            "y", pm.Normal.dist(mu, 1.0), 1 - np.eye(2), pm.Poisson.dist(rate), observed=y
        )
    start = pmj.initial_values("y", model=model, random_seed=1)
    assert_allclose(start["mu"], levels, atol=0.3)
    means = np.array([stays[::2].mean(), stays[1::2].mean()])
    assert_allclose(1 + start["rate"], means, rtol=0.15)


def test_known_states_number_the_clusters():
    y = np.array([9.0, 8.9, 0.1, 0.0, 9.1, 0.2, 0.1])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 10.0, shape=2)
        labels = [0, -1, 1, -1, -1, 0, -1]  # the last of them contradicts the values
        pmj.MarginalHMM(
            "y", pm.Normal.dist(mu, 1.0), 0.5 * np.ones((2, 2)), allowed_states=labels, observed=y
        )
    mu = pmj.initial_values("y", model=model, random_seed=1)["mu"]
    assert mu[0] > 6 > 1 > mu[1]


def test_clusters_are_those_of_separate_points():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=(3, 50))
    points = np.array([[5.0, 0.0], [0.0, 0.0], [9.0, 9.0], [-5.0, 5.0]])[truth]
    points = points + 0.2 * rng.normal(size=points.shape)
    points[0, 7] = np.nan
    found = cluster_observations(points, 4, rng)
    expected = np.array([2, 1, 3, 0])[truth]
    expected[0, 7] = -1
    assert (found == expected).all()
