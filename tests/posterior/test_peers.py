"""Decoding against hmmlearn and dynamax, on dense models that they can do.

dynamax is no requirement of the tests: it brings a web framework and a nightly build of another
package along. Where it is installed, for the benchmarks, it is compared as well.
"""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import pymc_jaxdist as pmj

K, T = 4, 300
START = np.array([0.4, 0.3, 0.2, 0.1])
MATRIX = 0.8 * np.eye(K) + 0.2 * np.random.default_rng(0).dirichlet(np.ones(K), size=K)
MU, SIGMA = np.array([-1.0, 0.0, 1.0, 2.5]), np.array([0.6, 0.8, 0.7, 1.0])
Y = np.random.default_rng(1).normal(size=T).cumsum() / 5


@pytest.fixture(scope="module")
def ours():
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=K)
        pmj.MarginalHMM("y", pm.Normal.dist(mu, SIGMA), MATRIX, START, observed=Y)
    draws = xr.Dataset({"mu": (("chain", "draw", "k"), MU[None, None])})
    idata = {"posterior": draws.assign_coords(chain=[0], draw=[0])}
    kinds = ("smoothed", "filtered", "viterbi")
    return {kind: pmj.decode_states(idata, "y", kind, model=model) for kind in kinds}


def test_hmmlearn_agrees(ours):
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    theirs = hmmlearn.GaussianHMM(K, covariance_type="diag")
    theirs.startprob_, theirs.transmat_ = START, MATRIX
    theirs.means_, theirs.covars_ = MU[:, None], SIGMA[:, None] ** 2
    log_prob, path = theirs.decode(Y[:, None])
    assert_allclose(ours["smoothed"].values[0, 0], theirs.predict_proba(Y[:, None]), atol=1e-10)
    assert_array_equal(ours["viterbi"].values[0, 0], path)
    assert_allclose(ours["viterbi"].coords["log_prob"].values[0, 0], log_prob, rtol=1e-12)


@pytest.mark.filterwarnings("ignore")  # of what dynamax imports
def test_dynamax_agrees(ours):
    inference = pytest.importorskip(
        "dynamax.hidden_markov_model.inference", reason="installed for the benchmarks only"
    )
    import jax

    jax.config.update("jax_enable_x64", True)
    ll = stats.norm.logpdf(Y[:, None], MU, SIGMA)
    posterior = inference.hmm_smoother(START, MATRIX, ll)
    assert_allclose(ours["smoothed"].values[0, 0], posterior.smoothed_probs, atol=1e-10)
    assert_allclose(ours["filtered"].values[0, 0], posterior.filtered_probs, atol=1e-10)
    path = inference.hmm_posterior_mode(START, MATRIX, ll)
    assert_array_equal(ours["viterbi"].values[0, 0], path)
