"""Decoding and forecasting chains that remember several states, and autoregressive emissions."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from tests.reference.remembered_states import (
    autoregressive_paths,
    order_two_paths,
    total_and_occupancies,
)

MATRIX = np.array([[0.8, 0.2], [0.3, 0.7]])
START = np.array([0.6, 0.4])
PHI = np.array([[0.5], [-0.3]])
Y = np.array([0.2, 1.9, 2.5, 0.1, -0.4])
MU, SIGMA = np.array([0.0, 2.0]), np.array([0.5, 1.0])
TENSOR = np.random.default_rng(0).dirichlet(np.ones(2), size=(2, 2))


def draws_of(mu, n=1):
    values = np.broadcast_to(mu, (1, n, 2))
    posterior = xr.Dataset({"mu": (("chain", "draw", "mu_k"), values)})
    return {"posterior": posterior.assign_coords(chain=[0], draw=np.arange(n))}


@pytest.fixture(scope="module")
def hamilton():
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        emission = pmj.AutoRegressive(pm.Normal.dist(0.0, SIGMA), PHI, mean=mu)
        pmj.MarginalHMM("y", emission, MATRIX, START, observed=Y)
    return model


@pytest.fixture(scope="module")
def order_two():
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        start = np.full((2, 2), 0.25)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, SIGMA), TENSOR, start, observed=Y, order=2)
    return model


def paths_of(name):
    if name == "order_two":
        ll = stats.norm.logpdf(Y[:, None], MU, SIGMA)
        return list(order_two_paths(ll, np.full((2, 2), 0.25), TENSOR))
    return list(
        autoregressive_paths(
            Y, START, MATRIX, lambda r, k: stats.norm.logpdf(r, 0.0, SIGMA[k]), PHI, MU
        )
    )


@pytest.mark.parametrize("name", ["hamilton", "order_two"])
def test_histories_are_summed_to_states(name, request):
    model, paths = request.getfixturevalue(name), paths_of(name)
    total, smoothed = total_and_occupancies(paths, len(Y), 2)
    idata = draws_of(MU)
    probs = pmj.decode_states(idata, "y", model=model)
    assert_allclose(probs.values[0, 0], smoothed, atol=1e-12)
    assert probs.sizes["state"] == 2
    transitions = np.zeros((2, 2))
    for path, log_p in paths:
        np.add.at(transitions, (path[:-1], path[1:]), np.exp(log_p - total))
    counts = pmj.transition_counts(idata, "y", model=model)
    assert_allclose(counts.values[0, 0], transitions, atol=1e-12)
    occupancy = pmj.state_occupancy(idata, "y", model=model)
    stays = smoothed.sum(axis=0) - np.diag(transitions)
    assert_allclose(occupancy["stays"].values[0, 0], stays, atol=1e-12)


def test_the_best_path_of_order_two_is_the_best_of_all(order_two):
    """Jointly with the state before the first observation, which is part of it."""
    ll = stats.norm.logpdf(Y[:, None], MU, SIGMA)
    candidates = []
    for before in range(2):
        start = np.zeros((2, 2))
        start[before] = 0.25
        candidates += order_two_paths(ll, start, TENSOR)
    best, log_prob = max(candidates, key=lambda pair: pair[1])
    found = pmj.decode_states(draws_of(MU), "y", "viterbi", model=order_two)
    assert tuple(found.values[0, 0]) == best
    assert_allclose(found.coords["log_prob"].values[0, 0], log_prob, rtol=1e-12)


@pytest.mark.slow
def test_forecasts_of_order_two_go_on_from_pairs(order_two):
    ll = np.vstack([stats.norm.logpdf(Y[:, None], MU, SIGMA), np.zeros((2, 2))])
    _, expected = total_and_occupancies(
        order_two_paths(ll, np.full((2, 2), 0.25), TENSOR), len(Y) + 2, 2
    )
    future = pmj.forecast(draws_of(MU, 2000), "y", 2, model=order_two, random_seed=1)
    assert_allclose(future["state_probs"].values[0, 0], expected[-2:], atol=1e-12)
    share = (future["path"].values[0] == 1).mean(axis=0)
    assert_allclose(share, expected[-2:, 1], atol=0.05)
    mean = future["y"].values[0].mean(axis=0)
    assert_allclose(mean, expected[-2:] @ MU, atol=0.1)


def test_autoregressive_forecasts_go_on_from_the_data():
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        emission = pmj.AutoRegressive(pm.Normal.dist(mu, 1e-9), [0.5])
        pmj.MarginalHMM(
            "y", emission, np.eye(2), START, observed=[[1.0, 3.5, 4.75], [1.0, 8, np.nan]]
        )
    future = pmj.forecast(draws_of([3.0, 7.0]), "y", 2, model=model, random_seed=1)
    first = future["y"].values[0, 0, 0]
    assert_allclose(first, [5.375, 5.6875], atol=1e-6)
    second = future["y"].values[0, 0, 1]
    state = future["path"].values[0, 0, 1, 0]
    missing = [3.0, 7.0][state] + 0.5 * 8
    assert_allclose(second, _two_more(missing, [3.0, 7.0][state]), atol=1e-6)


def _two_more(last, intercept):
    one = intercept + 0.5 * last
    return [one, intercept + 0.5 * one]


def test_residuals_leave_out_what_is_conditioned_on(hamilton):
    residuals = pmj.pseudo_residuals(draws_of(MU), "y", model=hamilton).values[0, 0]
    assert np.isnan(residuals[0])
    assert np.isfinite(residuals[1:]).all()
    # By hand for the second value: the first says nothing of its state.
    joint = START[:, None] * MATRIX
    mean = MU[None, :] + PHI[:, 0][None, :] * (Y[0] - MU[:, None])
    cdf = np.sum(joint * stats.norm.cdf(Y[1], mean, SIGMA[None, :]))
    assert_allclose(residuals[1], stats.norm.ppf(cdf), atol=1e-10)
    densities = pmj.one_step_log_predictive(draws_of(MU), "y", model=hamilton)
    assert_allclose(densities.sum(), total_and_occupancies(paths_of("hamilton"), 5, 2)[0])


def test_residuals_of_order_two_average_over_the_present_state(order_two):
    residuals = pmj.pseudo_residuals(draws_of(MU), "y", model=order_two).values[0, 0]
    cdf = stats.norm.cdf(Y[0], MU, SIGMA) @ np.full(2, 0.5)
    assert_allclose(residuals[0], stats.norm.ppf(cdf), atol=1e-10)
