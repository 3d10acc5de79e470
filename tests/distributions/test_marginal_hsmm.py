"""Hidden semi-Markov models against a recursion over segments, enumeration, and geometric stays."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import DistributionError, ParameterError, ShapeError
from tests.distributions.compiled import FAST, function_of, logp_of
from tests.reference import hidden_markov as reference
from tests.reference.differences import central_difference
from tests.reference.hidden_semi_markov import (
    enumerate_segmentations,
    segments_log_likelihood,
)

MU = np.array([0.0, 2.0, -3.0])
T = 7
MATRIX = np.array([[0.0, 0.3, 0.7], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
START = np.array([0.2, 0.5, 0.3])
DAYS = np.arange(T)

#: Distributions of durations, with probabilities and survival by SciPy: d = 1, ..., T.
FAMILIES = {
    "Poisson": (
        lambda: pm.Poisson.dist([0.5, 2.0, 4.0]),
        lambda: stats.poisson([[0.5], [2.0], [4.0]], loc=1),
    ),
    "NegativeBinomial": (
        lambda: pm.NegativeBinomial.dist(mu=[1.0, 2.0, 4.0], alpha=np.array(2.0)),
        lambda: stats.nbinom(2.0, 2.0 / (2.0 + np.array([[1.0], [2.0], [4.0]])), loc=1),
    ),
    "Geometric": (
        lambda: pm.Geometric.dist([0.2, 0.5, 0.9]),
        lambda: stats.geom([[0.2], [0.5], [0.9]]),
    ),
    "Categorical": (
        lambda: pm.Categorical.dist(p=[[0.1, 0.2, 0.7], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]),
        None,
    ),
}


def expected_durations(family):
    if family == "Categorical":
        probs = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
        probs = np.pad(probs, ((0, 0), (0, T - 3)))
        return probs, probs[:, ::-1].cumsum(axis=1)[:, ::-1]
    frozen = FAMILIES[family][1]()
    return frozen.pmf(DAYS + 1), frozen.sf(DAYS)


def evidence(y):
    return np.where(np.isnan(y)[:, None], 0.0, stats.norm.logpdf(y[:, None], MU, 1.0))


def build(family):
    durations = FAMILIES[family][0]()
    value = pt.dvector("y")
    start = pt.dvector("start")
    hsmm = pmj.MarginalHSMM.dist(
        pm.Normal.dist(MU, 1.0), 0.6 * MATRIX + 0.4 * np.eye(3), durations, start, shape=(T,)
    )
    logp = pm.logp(hsmm, value)
    return [value, start], [logp, pt.grad(logp, start)]


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), missing=st.booleans())
def test_log_likelihood_is_the_sum_over_all_segmentations(family, seed, missing):
    rng = np.random.default_rng(seed)
    y = rng.normal(scale=3.0, size=T)
    y[rng.random(T) < 0.3 * missing] = np.nan
    value, gradient = function_of(build, family)(y, START)
    probs, survival = expected_durations(family)
    arguments = evidence(y), MATRIX, probs, survival
    expected = segments_log_likelihood(arguments[0], START, *arguments[1:])
    assert_allclose(value, expected, rtol=1e-12)
    assert_allclose(enumerate_segmentations(arguments[0], START, *arguments[1:]), expected)

    each = [segments_log_likelihood(arguments[0], one, *arguments[1:]) for one in np.eye(3)]
    assert_allclose(gradient, np.exp(np.array(each) - expected), rtol=1e-10)


def test_geometric_durations_make_an_ordinary_hidden_markov_model():
    stay = np.array([0.8, 0.5, 0.1])
    y = np.random.default_rng(0).normal(size=(4, T))
    lengths = np.array([7, 5, 1, 0])
    emission = pm.Normal.dist(MU, 1.0)
    hsmm = pmj.MarginalHSMM.dist(
        emission, MATRIX, pm.Geometric.dist(1 - stay), START, lengths=lengths, shape=y.shape
    )
    dense = np.diag(stay) + (1 - stay)[:, None] * MATRIX
    hmm = pmj.MarginalHMM.dist(emission, dense, START, lengths=lengths, shape=y.shape)
    assert_allclose(logp_of(hsmm, y), logp_of(hmm, y), rtol=1e-12)


def test_durations_that_differ_between_sequences():
    y = np.random.default_rng(1).normal(size=(2, T))
    further = np.array([[[0.5, 1.0, 2.0]], [[3.0, 0.1, 1.0]]])
    emission = pm.Normal.dist(MU, 1.0)

    def logp(rates, values):
        hsmm = pmj.MarginalHSMM.dist(emission, MATRIX, pm.Poisson.dist(rates), shape=values.shape)
        return logp_of(hsmm, values)

    expected = [logp(further[n, 0], y[n]) for n in range(2)]
    assert_allclose(logp(further, y), expected, rtol=1e-13)


def test_a_truncated_distribution_is_conditional_on_its_limit():
    probs = stats.poisson(2.0, loc=1).pmf(DAYS + 1)
    probs[3:] = 0
    probs = np.tile(probs / probs.sum(), (3, 1))
    y = np.random.default_rng(2).normal(size=T)
    hsmm = pmj.MarginalHSMM.dist(
        pm.Normal.dist(MU, 1.0),
        MATRIX,
        pm.Poisson.dist(np.array(2.0)),
        START,
        max_duration=3,
        steps=T,
    )
    survival = probs[:, ::-1].cumsum(axis=1)[:, ::-1]
    expected = segments_log_likelihood(evidence(y), START, MATRIX, probs, survival)
    assert_allclose(logp_of(hsmm, y), expected, rtol=1e-12)


def test_gradients_with_respect_to_durations_and_emissions():
    y = np.random.default_rng(3).normal(size=(2, T))

    def graph():
        further, mu = pt.dvector("further"), pt.dvector("mu")
        hsmm = pmj.MarginalHSMM.dist(
            pm.Normal.dist(mu, 1.0), MATRIX, pm.Poisson.dist(further), START, shape=y.shape
        )
        total = pm.logp(hsmm, y).sum()
        return [further, mu], [total, *pt.grad(total, [further, mu])]

    function = function_of(graph)
    point = np.array([0.5, 2.0, 4.0]), MU
    _, of_durations, of_means = function(*point)
    differences = central_difference(lambda x: function(x, point[1])[0], point[0])
    assert_allclose(of_durations, differences, rtol=1e-7, atol=1e-8)
    differences = central_difference(lambda x: function(point[0], x)[0], point[1])
    assert_allclose(of_means, differences, rtol=1e-7, atol=1e-8)


def test_extreme_evidence_for_a_stay_beyond_belief():
    """A stay of 60 times under Poisson durations of mean 2 has a probability of 1e-80."""
    labels = np.zeros(60, dtype=int)
    hsmm = pmj.MarginalHSMM.dist(
        pm.Normal.dist([0.0, 9.0], 1.0),
        1 - np.eye(2),
        pm.Poisson.dist([1.0, 1.0]),
        allowed_states=labels,
        steps=60,
    )
    y = np.zeros(60)
    at_least = stats.poisson(1.0, loc=1).logsf(59)
    expected = np.log(0.5) + at_least + 60 * stats.norm.logpdf(0.0)
    assert_allclose(logp_of(hsmm, y), expected, rtol=1e-10)


def test_impossible_parameters_have_no_density():
    def graph():
        further = pt.dvector("further")
        hsmm = pmj.MarginalHSMM.dist(
            pm.Normal.dist([0.0, 9.0], 1.0), 1 - np.eye(2), pm.Poisson.dist(further), steps=4
        )
        total = pm.logp(hsmm, np.zeros(4))
        return [further], [total, pt.grad(total, further)]

    value, gradient = function_of(graph)(np.array([1.0, -1.0]))
    assert value == -np.inf
    assert (gradient == 0).all()


@pytest.mark.parametrize("max_duration", [None, 4])
def test_stays_in_random_draws_have_the_distribution_of_the_durations(max_duration):
    hsmm = pmj.MarginalHSMM.dist(
        pm.Normal.dist([0.0, 100.0, 200.0], 1e-3),
        MATRIX,
        pm.Poisson.dist([1.0, 3.0, 0.2]),
        max_duration=max_duration,
        shape=(40, 200),
    )
    draws = np.round(pm.draw(hsmm, random_seed=4) / 100).astype(int)
    stays = {0: [], 1: [], 2: []}
    following = np.zeros((3, 3))
    for path in draws:
        cuts = np.flatnonzero(np.diff(path)) + 1
        pieces = np.split(path, cuts)[:-1]
        for piece in pieces:
            stays[piece[0]].append(len(piece))
        np.add.at(following, (path[cuts - 1], path[cuts]), 1)
    for state, rate in enumerate([1.0, 3.0, 0.2]):
        probs = stats.poisson(rate, loc=1).pmf(np.arange(1, 5))
        counts = np.bincount(stays[state], minlength=6)[1:5]
        if max_duration:
            probs = probs / probs.sum()
            assert max(stays[state]) <= 4
        share = counts / len(stays[state])
        assert_allclose(share, probs, atol=5 * np.sqrt(0.25 / len(stays[state])))
    assert_allclose(following / following.sum(axis=1, keepdims=True), MATRIX, atol=0.06)


def test_the_first_state_comes_from_the_initial_probabilities():
    hsmm = pmj.MarginalHSMM.dist(
        pm.Normal.dist([0.0, 100.0, 200.0], 1e-3),
        MATRIX,
        pm.Poisson.dist(1.0),
        START,
        shape=(4000, 2),
    )
    first = np.round(pm.draw(hsmm, random_seed=5)[:, 0] / 100).astype(int)
    assert_allclose(np.bincount(first) / 4000, START, atol=0.03)


@pytest.mark.slow
def test_in_a_model():
    y = np.random.default_rng(6).poisson(4.0, size=(3, 12)).astype(float)
    y[1, 4] = np.nan
    coords = {"site": list("abc"), "day": np.arange(12), "state": ["low", "high"]}
    with pm.Model(coords=coords) as model:
        data = pm.Data("further_times", [1.0, 2.0])
        rates = pm.Gamma("rates", 2.0, 0.5, dims="state")
        pmj.MarginalHSMM(
            "y",
            pm.Poisson.dist(rates),
            [[0, 1], [1, 0]],
            pm.Poisson.dist(data),
            observed=y,
            dims=("site", "day"),
        )
        prior = pm.sample_prior_predictive(3, random_seed=1)
    logp = model.compile_logp(sum=False, mode=FAST)
    point = model.initial_point()
    assert logp(point)[-1].shape == (3,)
    assert np.isfinite(logp(point)[-1]).all()
    assert prior["prior_predictive"]["y"].shape == (1, 3, 3, 12)
    gradient = model.compile_dlogp(mode=FAST)(point)
    assert np.isfinite(gradient).all()
    assert "MarginalHSMM" in model.str_repr()


RIGHT = {
    "emission": pm.Normal.dist([0.0, 1.0], 1.0),
    "transition_matrix": np.array([[0.0, 1.0], [1.0, 0.0]]),
    "durations": pm.Poisson.dist([1.0, 2.0]),
    "steps": 6,
}

MISTAKES = {
    "a stationary start": (
        {"initial_probs": "stationary"},
        ParameterError,
        "no stationary distribution",
    ),
    "continuous durations": (
        {"durations": pm.Normal.dist([0.0, 1.0], 1.0)},
        DistributionError,
        "discrete univariate",
    ),
    "a number as durations": (
        {"durations": 3.0},
        DistributionError,
        "durations must be an unregistered",
    ),
    "durations of other states": (
        {"durations": pm.Poisson.dist([1.0, 2.0, 3.0])},
        ShapeError,
        "durations must be the sta",
    ),
    "durations outside their domain": (
        {"durations": pm.Poisson.dist([1.0, -2.0])},
        ParameterError,
        "of the durations is out",
    ),
    "no longest duration": (
        {"max_duration": 0},
        ParameterError,
        "max_duration must be at least 1",
    ),
    "a matrix that varies in time": (
        {"transition_matrix": np.full((5, 2, 2), 0.5)},
        ShapeError,
        "semi-Markov model must not vary in time",
    ),
    "a matrix that is not square": (
        {"transition_matrix": np.ones((2, 3))},
        ShapeError,
        r"shape \(\.\.\., K, K\)",
    ),
    "states that are remembered": (
        {"emission": pmj.AutoRegressive(pm.Normal.dist(0.0, 1.0), [0.5], mean=np.arange(2.0))},
        ParameterError,
        "does not remember states",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake):
    changes, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=message):
        pmj.MarginalHSMM.dist(**{**RIGHT, **changes})


def test_the_reference_agrees_with_a_hidden_markov_model():
    stay = np.array([0.8, 0.5, 0.1])
    y = np.random.default_rng(7).normal(size=T)
    frozen = stats.geom((1 - stay)[:, None])
    found = segments_log_likelihood(
        evidence(y), START, MATRIX, frozen.pmf(DAYS + 1), frozen.sf(DAYS)
    )
    dense = np.diag(stay) + (1 - stay)[:, None] * MATRIX
    assert_allclose(found, float(reference.log_likelihood(evidence(y), START, dense)), rtol=1e-12)
