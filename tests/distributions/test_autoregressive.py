"""Autoregressive emissions against the sum over all paths, and their recursive draws."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pytensor.compile.mode import Mode
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import DistributionError, ParameterError, ShapeError
from tests.distributions.compiled import evaluate, function_of, logp_of, with_gradients
from tests.reference.differences import central_difference
from tests.reference.remembered_states import autoregressive_paths, total_and_occupancies

T = 6
MATRIX = np.array([[0.8, 0.2], [0.3, 0.7]])
START = np.array([0.6, 0.4])
MU, SIGMA = np.array([0.0, 2.0]), np.array([0.5, 1.0])
PHI = np.array([[0.5, 0.2], [-0.3, 0.1]])


def build(form):
    shapes = {"y": (T,), "mu": (2,), "phi": (2, 2), "start": (2,)}
    y, mu, phi, start = (pt.tensor(name, shape=shape) for name, shape in shapes.items())
    emission = {
        "intercepts": lambda: pmj.AutoRegressive(pm.Normal.dist(mu, SIGMA), phi),
        "means": lambda: pmj.AutoRegressive(pm.Normal.dist(0.0, SIGMA), phi, mean=mu),
    }[form]()
    hmm = pmj.MarginalHMM.dist(emission, MATRIX, start, shape=T)
    inputs = [y, mu, phi, start]
    return inputs, with_gradients(pm.logp(hmm, y), [mu, phi])


def expected(form, y, mu, phi):
    by_intercepts = form == "intercepts"

    def log_density(residual, k):
        return stats.norm.logpdf(residual, mu[k] if by_intercepts else 0.0, SIGMA[k])

    mean = np.zeros(2) if by_intercepts else mu
    return total_and_occupancies(
        autoregressive_paths(y, START, MATRIX, log_density, phi, mean), len(y), 2
    )


@pytest.mark.parametrize("form", ["intercepts", "means"])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), missing=st.booleans())
def test_log_likelihood_is_the_sum_over_all_paths(form, seed, missing):
    rng = np.random.default_rng(seed)
    y, phi = rng.normal(scale=2.0, size=T), rng.normal(size=(2, 2))
    y[rng.random(T) < 0.2 * missing] = np.nan
    value, *_ = function_of(build, form)(y, MU, phi, START)
    assert_allclose(value, expected(form, y, MU, phi)[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("form", ["intercepts", "means"])
def test_gradients_are_those_of_finite_differences(form):
    y = np.array([0.3, -1.0, 2.0, np.nan, 0.5, 1.0])
    function = function_of(build, form)
    _, of_mu, of_phi = function(y, MU, PHI, START)
    assert_allclose(
        of_mu, central_difference(lambda m: function(y, m, PHI, START)[0], MU), atol=1e-7
    )
    y[3] = 1.0
    _, of_mu, of_phi = function(y, MU, PHI, START)
    assert_allclose(
        of_phi, central_difference(lambda p: function(y, MU, p, START)[0], PHI), atol=1e-7
    )


def test_the_stationary_start_is_that_of_the_chain_itself():
    """With means of each state, and coefficients and a scale that all states share."""
    y = np.array([0.3, -1.0, 2.0, 0.1])
    emission = pmj.AutoRegressive(pm.Normal.dist(0.0, SIGMA[0]), PHI[0], mean=MU)
    hmm = pmj.MarginalHMM.dist(emission, MATRIX, shape=4)
    paths = autoregressive_paths(
        y, START, MATRIX, lambda r, k: stats.norm.logpdf(r, 0, SIGMA[0]), PHI[[0, 0]], MU
    )
    assert_allclose(START @ MATRIX, START)
    assert_allclose(logp_of(hmm, y), total_and_occupancies(paths, 4, 2)[0], rtol=1e-12)


def test_shapes_broadcast_as_those_of_any_emission():
    """Sequences of their own, means that vary in time, another family, a shared lag."""
    rng = np.random.default_rng(1)
    y, trend, own = rng.normal(size=(2, 4)), rng.normal(size=(4, 1)), np.array([1.0, -1.0])
    innovations = pm.Laplace.dist(own[:, None, None], SIGMA)
    emission = pmj.AutoRegressive(innovations, [0.5], mean=trend)
    value = logp_of(pmj.MarginalHMM.dist(emission, MATRIX, START, shape=(2, 4)), y)
    for n in range(2):
        deviations = y[n] - trend[:, 0]

        def log_density(residual, k, n=n):
            return stats.laplace.logpdf(residual, own[n], SIGMA[k])

        paths = autoregressive_paths(
            deviations, START, MATRIX, log_density, np.full((2, 1), 0.5), np.zeros(2)
        )
        assert_allclose(value[n], total_and_occupancies(paths, 4, 2)[0], rtol=1e-12)


def test_a_channel_may_be_autoregressive_beside_others():
    y, counts = np.array([0.3, -1.0, 2.0]), np.array([1, 4, 0])
    emission = (
        pmj.AutoRegressive(pm.Normal.dist(0.0, SIGMA), PHI[:, :1], mean=MU),
        pm.Poisson.dist([1.0, 3.0]),
    )
    hmm = pmj.MarginalHMM.dist(emission, MATRIX, START, shape=(3, 2))
    paths = list(
        autoregressive_paths(
            y, START, MATRIX, lambda r, k: stats.norm.logpdf(r, 0, SIGMA[k]), PHI[:, :1], MU
        )
    )
    of_counts = stats.poisson.logpmf(counts[:, None], [1.0, 3.0])
    joint = [(path, log_p + of_counts[range(3), path].sum()) for path, log_p in paths]
    value, _ = total_and_occupancies(joint, 3, 2)
    assert_allclose(logp_of(hmm, np.stack([y, counts], -1)), value, rtol=1e-12)


def test_draws_obey_the_recursion():
    """Innovations of next to no scale are the intercepts of the states."""
    emission = pmj.AutoRegressive(pm.Normal.dist([3.0, -2.0], 1e-9), [0.5, 0.25])
    draw = evaluate(pmj.MarginalHMM.dist(emission, MATRIX, START, shape=(3, 40)))
    padded = np.pad(draw, ((0, 0), (2, 0)))
    e = draw - 0.5 * padded[:, 1:-1] - 0.25 * padded[:, :-2]
    assert_allclose(np.abs(e - 0.5), 2.5, atol=1e-6)
    assert len(np.unique(np.round(e, 3))) == 2


def test_draws_of_a_single_sequence_are_rewritten_without_complaint():
    """Scan refuses axes whose length 1 is found out while a graph is rewritten."""
    emission = pmj.AutoRegressive(pm.Normal.dist([3.0, -2.0], 1.0), [0.5])
    hmm = pmj.MarginalHMM.dist(emission, MATRIX, START, shape=(1, 5))
    with pytensor.config.change_flags(on_opt_error="raise"):
        assert evaluate(hmm, mode=Mode(linker="py", optimizer="fast_run")).shape == (1, 5)


def test_replicates_begin_with_the_first_observations():
    """What is missing among them is drawn, from deviations of zero before the series."""
    y = np.array([[10.0, 20.0, np.nan, 1.0], [np.nan, 5.0, 0.0, 0.0]])
    with pm.Model() as model:
        emission = pmj.AutoRegressive(
            pm.Normal.dist([0.0, 1e-9], 1e-9), [0.5, 0.5], mean=[4.0, 4.0]
        )
        pmj.MarginalHMM("y", emission, MATRIX, START, observed=y)
    draw = evaluate(model["y"])
    assert_allclose(draw, [[10.0, 20.0, 15.0, 17.5], [4.0, 5.0, 4.5, 4.75]], atol=1e-6)


@pytest.mark.parametrize(
    ("emission", "error", "message"),
    [
        (lambda: pmj.AutoRegressive(pm.Poisson.dist([1, 2]), PHI), DistributionError, "continuous"),
        (lambda: pmj.AutoRegressive(pm.Normal.dist(MU), 0.5), ShapeError, "must be the lags"),
        (
            lambda: pmj.AutoRegressive(pm.Normal.dist(MU), np.ones((3, 1))),
            ShapeError,
            "must broadcast",
        ),
    ],
)
def test_what_cannot_be_right_is_refused(emission, error, message):
    with pytest.raises(error, match=message):
        pmj.MarginalHMM.dist(emission(), MATRIX, steps=3)


def test_a_semi_markov_chain_remembers_no_states():
    emission = pmj.AutoRegressive(pm.Normal.dist(0.0, SIGMA), PHI, mean=MU)
    with pytest.raises(ParameterError, match="does not remember"):
        pmj.MarginalHSMM.dist(emission, MATRIX, pm.Poisson.dist([1.0, 2.0]), steps=3)
