"""Smoothed states of a hidden semi-Markov model."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError
from tests.reference.hidden_semi_markov import segments_log_likelihood

Y = np.array([[0.1, 4.2, np.nan, 5.3], [5.1, 0.2, 0.1, 0.0]])
MATRIX = np.array([[0.0, 1.0], [1.0, 0.0]])
T = 4


@pytest.fixture(scope="module")
def model():
    with pm.Model(coords={"site": ["a", "b"], "day": [1, 2, 3, 4]}) as model:
        mu = pm.Normal("mu", shape=2)
        further = pm.Gamma("further", 2.0, 1.0, shape=2)
        pmj.MarginalHSMM(
            "y",
            pm.Normal.dist(mu, 1.0),
            MATRIX,
            pm.Poisson.dist(further),
            lengths=[4, 3],
            observed=Y,
            dims=("site", "day"),
        )
    return model


@pytest.fixture(scope="module")
def idata():
    variables = {"mu": [[[0.0, 5.0], [0.5, 4.0]]], "further": [[[0.5, 2.0], [1.0, 0.1]]]}
    draws = {name: (("chain", "draw", f"{name}_k"), values) for name, values in variables.items()}
    return {"posterior": xr.Dataset(draws, coords={"chain": [0], "draw": [0, 1]})}


def test_smoothed_probabilities_are_ratios_of_likelihoods(model, idata):
    """That of state k at t is the likelihood with t confined to k, divided by the whole one."""
    probs = pmj.decode_states(idata, "y", model=model)
    assert probs.dims == ("chain", "draw", "site", "day", "state")
    days = np.arange(T)
    for draw in range(2):
        mu, further = (idata["posterior"][name].values[0, draw] for name in ("mu", "further"))
        frozen = stats.poisson(further[:, None], loc=1)
        durations = frozen.pmf(days + 1), frozen.sf(days)
        for site, length in enumerate([4, 3]):
            y = Y[site, :length]
            ll = np.where(np.isnan(y)[:, None], 0, stats.norm.logpdf(y[:, None], mu, 1.0))
            total = segments_log_likelihood(ll, np.ones(2) / 2, MATRIX, *durations)
            for t in range(length):
                for k in range(2):
                    confined = ll.copy()
                    confined[t, 1 - k] = -np.inf
                    own = segments_log_likelihood(confined, np.ones(2) / 2, MATRIX, *durations)
                    assert_allclose(
                        probs.values[0, draw, site, t, k], np.exp(own - total), atol=1e-12
                    )
    assert np.isnan(probs.values[0, :, 1, 3]).all()


def test_what_is_not_available_says_so(model, idata):
    for call in (
        lambda: pmj.decode_states(idata, "y", "viterbi", model=model),
        lambda: pmj.forecast(idata, "y", 3, model=model),
    ):
        with pytest.raises(ParameterError, match="is a MarginalHSMM, for which this is not"):
            call()
