"""Missing values of autoregressions against the joint normal distribution and all paths."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import DistributionError
from pymc_jaxdist.posterior.conditional_simulation import draw_missing_values
from tests.distributions.compiled import FAST
from tests.reference.differences import central_difference
from tests.reference.remembered_states import (
    autoregressive_paths,
    conditional_of_missing_values,
)

MATRIX = np.array([[0.8, 0.2], [0.3, 0.7]])
START = np.array([0.6, 0.4])
PHI = np.array([[0.5], [-0.3]])
MU, SIGMA = np.array([0.0, 2.0]), np.array([0.5, 1.0])
Y = np.array([0.2, 1.9, np.nan, np.nan, 0.4, -0.4])


def normal_log_density(residual, k):
    return -0.5 * (residual / SIGMA[k]) ** 2 - np.log(SIGMA[k] * np.sqrt(2 * np.pi))


def draws_of(mu, n=1):
    values = np.broadcast_to(mu, (1, n, 2))
    posterior = xr.Dataset({"mu": (("chain", "draw", "mu_k"), values)})
    return {"posterior": posterior.assign_coords(chain=[0], draw=np.arange(n))}


def model_of(observed, innovations=None, **keywords):
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        innovations = pm.Normal.dist(0.0, SIGMA) if innovations is None else innovations
        emission = pmj.AutoRegressive(innovations, PHI, mean=mu)
        pmj.MarginalHMM("y", emission, MATRIX, START, observed=observed, **keywords)
    return model


class Known:
    """In the place of a random generator: noise that is known."""

    def __init__(self, noise):
        self.noise = noise

    def standard_normal(self, shape):
        return np.broadcast_to(self.noise, shape)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("missing", [[4], [4, 5, 6], [11], [3, 5, 7, 10, 11], list(range(3, 12))])
def test_missing_values_are_jointly_normal(order, missing):
    rng = np.random.default_rng(order)
    y, path = rng.normal(size=12), rng.integers(2, size=12)
    y[missing] = np.nan
    phi = 0.5 * rng.normal(size=(2, order))
    mean, location, scale = rng.normal(size=2), rng.normal(size=2), 0.3 + rng.random(2)
    expected, covariance = conditional_of_missing_values(y, path, phi, mean, location, scale)
    n = len(missing)
    along = [np.broadcast_to(x[path], (n, *x[path].shape)) for x in (phi, mean, location, scale)]
    without_noise = draw_missing_values(Known(0.0), y, *along)
    assert_allclose(without_noise[0, missing], expected, atol=1e-11)
    factor = draw_missing_values(Known(np.eye(n)), y, *along)[:, missing] - expected
    assert_allclose(factor.T @ factor, covariance, atol=1e-11)
    seen = ~np.isnan(y)
    assert (without_noise[:, seen] == y[seen]).all()


@pytest.mark.slow
def test_imputations_are_those_of_every_path_in_its_turn():
    complete = pmj.impute(draws_of(MU, 4000), "y", model=model_of(Y), random_seed=1).values[0]
    seen = ~np.isnan(Y)
    assert (complete[:, seen] == Y[seen]).all()
    paths, log_joint = zip(
        *autoregressive_paths(Y, START, MATRIX, normal_log_density, PHI, MU), strict=True
    )
    weights = np.exp(np.array(log_joint) - np.logaddexp.reduce(log_joint))
    mean, second = np.zeros(2), np.zeros((2, 2))
    for path, weight in zip(paths, weights, strict=True):
        own, covariance = conditional_of_missing_values(Y, path, PHI, MU, np.zeros(2), SIGMA)
        mean += weight * own
        second += weight * (covariance + np.outer(own, own))
    assert_allclose(complete[:, ~seen].mean(axis=0), mean, atol=0.07)
    moments = complete[:, ~seen].T @ complete[:, ~seen] / len(complete)
    assert_allclose(moments, second, atol=0.15)


def test_first_values_have_no_distribution_nor_what_depends_on_them():
    y = np.array([[np.nan, np.nan, 1.0, np.nan, 0.5], [1.0, np.nan, 1.0, np.nan, np.nan]])
    model = model_of(y, lengths=[5, 4])
    complete = pmj.impute(draws_of(MU, 3), "y", model=model, random_seed=1).values[0]
    unknown = [[True, True, False, False, False], [False, False, False, False, True]]
    assert (np.isnan(complete) == np.array(unknown)).all()
    assert len(np.unique(complete[:, 0, 3])) == 3


def test_a_channel_beside_others():
    y = np.stack([Y, [0.0, 1.0, np.nan, 4.0, 2.0, np.nan]], axis=-1)
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        channels = (
            pmj.AutoRegressive(pm.Normal.dist(mu, 1e-6), [0.5]),
            pm.Poisson.dist([0.5, 30.0]),
        )
        pmj.MarginalHMM("y", channels, np.eye(2), [1.0, 0.0], observed=y)
    complete = pmj.impute(draws_of([1.0, 9.0]), "y", model=model, random_seed=1).values[0, 0]
    # y[t] = 1 + y[t-1] / 2 + e thrice, between 1.9 and 0.4, with the smallest squares.
    a, b = np.linalg.lstsq(np.array([[1, 0], [-0.5, 1], [0, -0.5]]), [1.95, 1, 0.6], rcond=None)[0]
    assert_allclose(complete[2:4, 0], [a, b], atol=1e-4)
    assert np.isfinite(complete).all()
    assert (complete[[2, 5], 1] < 10).all()


def test_innovations_that_are_not_normal_are_refused_where_values_are_missing():
    innovations = pm.StudentT.dist(nu=4, mu=0.0, sigma=SIGMA)
    with pytest.raises(DistributionError, match="drawn for normal innovations"):
        pmj.impute(draws_of(MU), "y", model=model_of(Y, innovations))
    complete = np.nan_to_num(Y)
    model = model_of(complete, innovations)
    assert_allclose(pmj.impute(draws_of(MU), "y", model=model).values[0, 0], complete)


def test_missing_values_may_be_parameters():
    """As the docs say: every path then counts with all that the series did across the gap."""
    with pm.Model() as model:
        missing = pm.Flat("missing", shape=2)
        series = pt.set_subtensor(pt.as_tensor(np.nan_to_num(Y))[np.isnan(Y)], missing)
        emission = pmj.AutoRegressive(pm.Laplace.dist(0.0, SIGMA), PHI, mean=MU)
        hmm = pmj.MarginalHMM.dist(emission, MATRIX, START, shape=Y.shape)
        pm.Potential("y", pm.logp(hmm, series))
    values = np.array([0.7, -0.1])
    filled = Y.copy()
    filled[np.isnan(Y)] = values

    def log_density(residual, k):
        return -np.abs(residual) / SIGMA[k] - np.log(2 * SIGMA[k])

    expected = np.logaddexp.reduce(
        [lp for _, lp in autoregressive_paths(filled, START, MATRIX, log_density, PHI, MU)]
    )
    logp = model.compile_logp(mode=FAST)
    assert_allclose(logp({"missing": values}), expected, rtol=1e-12)
    gradient = model.compile_dlogp(mode=FAST)({"missing": values})
    numerical = central_difference(lambda x: float(logp({"missing": x})), values)
    assert_allclose(gradient, numerical, rtol=1e-6)
