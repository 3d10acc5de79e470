"""Log-likelihood of a Gaussian model with two regimes at the estimates that Stata publishes."""

import numpy as np
import pymc as pm
import pytest

from pymc_jaxdist import MarginalHMM
from pymc_jaxdist.datasets import load_fedfunds

FUNDS = load_fedfunds()


@pytest.fixture(scope="module")
def model():
    stay, leave = FUNDS.published["p00"], FUNDS.published["p10"]
    assert FUNDS.published["initial"] == "stationary"
    with pm.Model() as model:
        mu = pm.Flat("mu", shape=2)
        sigma = pm.Flat("sigma")
        transitions = np.array([[stay, 1 - stay], [leave, 1 - leave]])
        MarginalHMM("rate", pm.Normal.dist(mu, sigma), transitions, observed=FUNDS.rate)
    return model


@pytest.fixture(scope="module")
def point():
    return {name: np.array(FUNDS.published[name]) for name in ("mu", "sigma")}


def test_log_likelihood_at_the_published_estimates(model, point):
    logp = model.compile_fn(model.observedlogp, mode="FAST_COMPILE")
    # the estimates are printed with six decimals
    assert float(logp(point)) == pytest.approx(FUNDS.published["log_lik"], abs=1.5e-5)


def test_the_published_estimates_are_a_maximum(model, point):
    gradient = model.compile_dlogp(mode="FAST_COMPILE")(point)
    # The curvature of 226 observations of variance 4 is about 50: six decimals leave 1e-4.
    np.testing.assert_allclose(gradient, 0, atol=2e-3)
