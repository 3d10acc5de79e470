"""Forecasts, imputations, one-step predictions and residuals."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import DistributionError, ParameterError, ShapeError
from tests.posterior.two_sites import DRAWS, LENGTHS, Y, sequences
from tests.reference import hidden_markov as reference

MATRIX = np.array([[0.8, 0.2], [0.3, 0.7]])


def repeated(values, n_draws):
    """Return a posterior of n equal draws."""
    return {
        "posterior": xr.Dataset(
            {
                name: (
                    ("chain", "draw", *(f"{name}_{i}" for i in range(np.ndim(value)))),
                    np.broadcast_to(value, (1, n_draws, *np.shape(value))),
                )
                for name, value in values.items()
            },
            coords={"chain": [0], "draw": np.arange(n_draws)},
        )
    }


def test_state_forecasts_are_powers_of_the_transition_matrix(model, idata):
    future = pmj.forecast(idata, "y", 3, model=model, random_seed=0)
    assert future["state_probs"].dims == ("chain", "draw", "site", "step", "state")
    assert future["y"].dims == future["path"].dims == ("chain", "draw", "site", "step")
    assert future["step"].values.tolist() == [1, 2, 3]
    for chain, draw in DRAWS:
        for site, _, sequence in sequences(idata, chain, draw):
            probs = reference.filtered_probs(*sequence)[-1]
            for h in range(3):
                probs = probs @ sequence[2]
                assert_allclose(
                    future["state_probs"].values[chain, draw, site, h], probs, atol=1e-12
                )


def test_forecast_paths_are_coherent():
    """Futures are drawn jointly: states that never change stay what they were."""
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1e-3), np.eye(2), "uniform", observed=[np.nan] * 2)
    future = pmj.forecast(repeated({"mu": [0.0, 9.0]}, 400), "y", 5, model=model, random_seed=2)
    states, draws = future["path"].values[0], future["y"].values[0]
    assert (states == states[:, :1]).all()
    assert 0.4 < states[:, 0].mean() < 0.6
    assert_allclose(draws, 9.0 * states, atol=0.01)


@pytest.mark.slow
def test_forecasts_with_covariates_of_the_future():
    x = np.array([0.0, 1.0, 2.0])
    with pm.Model() as model:
        covariate = pm.Data("x", x)
        slope = pm.Normal("slope")
        effect = slope * covariate[:, None] + np.array([0.0, 100.0])
        pmj.MarginalHMM("y", pm.Normal.dist(effect, 1e-3), MATRIX, observed=[0.0, 110.0, 20.0])
    idata = repeated({"slope": 10.0}, 50)
    longer = {"x": [0.0, 1.0, 2.0, 3.0, 4.0]}
    future = pmj.forecast(idata, "y", 2, model=model, data=longer, random_seed=3)
    expected = [30.0, 40.0] + 100.0 * future["path"].values
    assert_allclose(future["y"].values, expected, atol=0.01)
    with pytest.raises(ShapeError, match=r"data=\{'x'"):
        pmj.forecast(idata, "y", 2, model=model)


@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_a_forecast_of_no_steps_is_refused(model, idata, steps):
    with pytest.raises(ParameterError, match="steps must be a positive integer"):
        pmj.forecast(idata, "y", steps, model=model)


def test_imputations_fill_the_gaps_only(model, idata):
    complete = pmj.impute(idata, "y", model=model, random_seed=4).values
    seen = ~np.isnan(Y) & (np.arange(4) < np.array(LENGTHS)[:, None])
    assert (complete[..., seen] == Y[seen]).all()
    assert np.isfinite(complete[..., 0, 2]).all()
    assert np.isnan(complete[..., 1, 3]).all()


@pytest.mark.slow
def test_imputations_have_the_mixture_of_the_smoothed_states():
    with pm.Model() as model:
        rate = pm.Exponential("rate", 1.0, shape=2)
        y = np.array([[1.0, 30.0], [np.nan, 28.0], [2.0, np.nan]])
        channels = (pm.Poisson.dist(rate), pm.Normal.dist([0.0, 30.0], 5.0))
        pmj.MarginalHMM("y", channels, MATRIX, observed=y)
    idata = repeated({"rate": [1.0, 50.0]}, 3000)
    complete = pmj.impute(idata, "y", model=model, random_seed=5).values[0]
    probs = pmj.decode_states(idata, "y", model=model).values[0, 0]
    assert_allclose(complete[:, 1, 0].mean(), probs[1] @ [1.0, 50.0], rtol=0.05)
    assert_allclose(complete[:, 2, 1].mean(), probs[2] @ [0.0, 30.0], atol=0.5)
    assert (complete[:, 1, 0] == np.round(complete[:, 1, 0])).all()


def test_one_step_densities_sum_to_the_log_likelihood(model, idata):
    densities = pmj.one_step_log_predictive(idata, "y", model=model)
    assert densities.dims == ("chain", "draw", "site", "day")
    for chain, draw in DRAWS:
        for site, length, sequence in sequences(idata, chain, draw):
            total = densities.values[chain, draw, site, :length].sum()
            assert_allclose(total, float(reference.log_likelihood(*sequence)), rtol=1e-12)
    assert_allclose(densities.values[:, :, 0, 2], 0, atol=1e-14)  # a missing day


def test_what_came_later_is_predicted_from_what_was_known():
    """Leave-future-out: draws given the first values, densities of all."""
    rates = np.array([[1.0, 6.0], [2.0, 5.0], [0.5, 9.0]])
    y = np.array([1.0, 0.0, 7.0, 4.0, 2.0, 8.0])
    with pm.Model() as model:
        rate = pm.Exponential("rate", 1.0, shape=2)
        pmj.MarginalHMM("y", pm.Poisson.dist(rate), MATRIX, observed=y[:4])
    draws = xr.Dataset({"rate": (("chain", "draw", "k"), rates[None])})
    idata = {"posterior": draws.assign_coords(chain=[0], draw=np.arange(3))}
    terms = pmj.one_step_log_predictive(idata, "y", model=model, observed=y).values[0]
    start = reference.stationary_distribution(MATRIX)
    for of_draw, own in zip(terms, rates, strict=True):
        ll = stats.poisson.logpmf(y[:, None], own)
        whole, known = (float(reference.log_likelihood(x, start, MATRIX)) for x in (ll, ll[:4]))
        assert_allclose(of_draw[4:].sum(), whole - known, rtol=1e-12)


def test_pseudo_residuals_are_normal_quantiles_of_the_forecast(model, idata):
    residuals = pmj.pseudo_residuals(idata, "y", model=model)
    for chain, draw in DRAWS:
        mu = idata["posterior"]["mu"].values[chain, draw]
        for site, length, (ll, start, matrix) in sequences(idata, chain, draw):
            probs = start
            for t in range(length):
                cdf = float(probs @ stats.norm.cdf(Y[site, t], mu, 1.0))
                expected = stats.norm.ppf(cdf)
                assert_allclose(residuals.values[chain, draw, site, t], expected, atol=1e-10)
                probs = reference.filtered_probs(ll[: t + 1], start, matrix)[-1] @ matrix
    assert np.isnan(residuals.values[:, :, 1, 3]).all()


@pytest.mark.slow
def test_pseudo_residuals_of_counts_from_the_model_are_standard_normal():
    rates = np.array([2.0, 15.0])
    hmm = pmj.MarginalHMM.dist(pm.Poisson.dist(rates), MATRIX, steps=3000)
    with pm.Model() as model:
        own = pm.Exponential("rates", 0.1, shape=2)
        pmj.MarginalHMM("y", pm.Poisson.dist(own), MATRIX, observed=pm.draw(hmm, random_seed=6))
    residuals = pmj.pseudo_residuals(repeated({"rates": rates}, 1), "y", model=model, random_seed=7)
    assert stats.kstest(residuals.values.ravel(), "norm").pvalue > 0.001
    lagged = np.corrcoef(residuals.values[0, 0, :-1], residuals.values[0, 0, 1:])[0, 1]
    assert abs(lagged) < 0.07


def test_pseudo_residuals_of_vectors_are_refused():
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=(2, 2))
        pmj.MarginalHMM("y", pm.MvNormal.dist(mu, np.eye(2)), MATRIX, observed=np.zeros((3, 2)))
    with pytest.raises(DistributionError, match="no cumulative distribution function"):
        pmj.pseudo_residuals(repeated({"mu": np.zeros((2, 2))}, 1), "y", model=model)
