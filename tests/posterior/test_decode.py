"""State probabilities of every posterior draw."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError
from tests.reference import hidden_markov as reference

Y = np.array([[0.1, 2.9, np.nan, 3.2], [3.1, 0.2, 0.1, 0.0]])
STATES = ["low", "high"]


@pytest.fixture(scope="module")
def model():
    coords = {"site": ["a", "b"], "day": [1, 2, 3, 4], "state": STATES, "to": STATES}
    with pm.Model(coords=coords) as model:
        mu = pm.Normal("mu", [0.0, 3.0], 1.0, dims="state")
        matrix = pm.Dirichlet("P", np.ones((2, 2)), dims=("state", "to"))
        pmj.MarginalHMM(
            "y", pm.Normal.dist(mu, 1.0), matrix, observed=Y, lengths=[4, 3], dims=("site", "day")
        )
        pm.Normal("z", mu, observed=np.zeros(2))
    return model


@pytest.fixture(scope="module")
def idata():
    rng = np.random.default_rng(0)
    mu = np.array([0.0, 3.0]) + rng.normal(scale=0.1, size=(2, 5, 2))
    matrix = rng.dirichlet(np.ones(2), size=(2, 5, 2))
    return {
        "posterior": xr.Dataset(
            {
                "mu": (("chain", "draw", "state"), mu),
                "P": (("chain", "draw", "state", "to"), matrix),
            },
            coords={"chain": [0, 1], "draw": np.arange(5)},
        )
    }


@pytest.mark.parametrize("kind", ["smoothed", "filtered"])
def test_probabilities_are_those_of_the_forward_backward_algorithm(model, idata, kind):
    probs = pmj.decode_states(idata, "y", kind, model=model)
    assert probs.name == f"y_{kind}_probs"
    assert probs.dims == ("chain", "draw", "site", "day", "state")
    assert list(probs.coords["state"].values) == STATES
    compute = {"smoothed": reference.smoothed_probs, "filtered": reference.filtered_probs}[kind]
    for chain, draw in [(0, 0), (1, 4)]:
        mu, matrix = (idata["posterior"][name].values[chain, draw] for name in ("mu", "P"))
        start = reference.stationary_distribution(matrix)
        for site, length in enumerate([4, 3]):
            y = Y[site, :length]
            ll = np.where(np.isnan(y)[:, None], 0, stats.norm.logpdf(y[:, None], mu, 1.0))
            expected = compute(ll, start, matrix)
            assert_allclose(probs.values[chain, draw, site, :length], expected, atol=1e-12)
    assert np.isnan(probs.values[:, :, 1, 3]).all()


def test_the_model_in_context_is_the_default(model, idata):
    with model:
        assert pmj.decode_states(idata, "y").sizes["draw"] == 5


@pytest.mark.parametrize("name", ["z", "mu", "nothing"])
def test_other_variables_are_refused(model, idata, name):
    with pytest.raises(ParameterError, match=f"not an observed MarginalHMM[\\s\\S]*'{name}'"):
        pmj.decode_states(idata, name, model=model)


def test_a_posterior_without_a_parameter_is_refused(model, idata):
    partial = {"posterior": idata["posterior"].drop_vars("P")}
    with pytest.raises(ParameterError, match="no draws of P"):
        pmj.decode_states(partial, "y", model=model)


def test_an_unknown_kind_is_refused(model, idata):
    with pytest.raises(ParameterError, match="'smoothed' or 'filtered'"):
        pmj.decode_states(idata, "y", "smooth", model=model)


def test_a_minibatch_is_refused(idata):
    with pm.Model() as minibatched:
        mu = pm.Normal("mu", shape=2)
        batch = pm.Minibatch(np.zeros((9, 4)), batch_size=2)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), np.eye(2), "uniform", observed=batch, total_size=9)
    with pytest.raises(ParameterError, match="a random choice of sequences"):
        pmj.decode_states(idata, "y", model=minibatched)
