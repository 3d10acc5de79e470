"""Transition matrices from logits, from rates in continuous time, and the sticky prior."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pytensor.graph.traversal import ancestors
from scipy.linalg import expm
from scipy.special import softmax

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError, ShapeError
from tests.distributions.compiled import evaluate, function_of, logp_of
from tests.reference.differences import central_difference

RATES = np.array([[0.0, 0.3, 0.0], [0.1, 0.0, 0.4], [0.0, 0.0, 0.0]])  # two stages, then death


def generator(rates):
    """Q with the diagonal that makes rows sum to zero."""
    off = rates * (1 - np.eye(len(rates)))
    return off - np.diag(off.sum(axis=1))


@pytest.mark.parametrize("shape", [(1, 0), (2, 1), (4, 3), (5, 3, 2), (2, 5, 3, 2)])
def test_logits_stand_in_order_around_the_diagonal(shape):
    logits = np.random.default_rng(0).normal(size=shape)
    matrix = evaluate(pmj.transition_from_logits(logits))
    n = shape[-2]
    for index in np.ndindex(*shape[:-2]):
        for i in range(n):
            row = np.insert(logits[index][i], i, 0.0)
            assert_allclose(matrix[index][i], softmax(row), rtol=1e-14)


def test_a_forbidden_transition_has_probability_and_gradient_zero():
    logits = pt.dmatrix("logits")

    def build():
        matrix = pmj.transition_from_logits(logits)
        return [logits], [matrix, pt.grad(pt.log(matrix[0, 0]), logits)]

    matrix, gradient = function_of(build)(np.array([[-np.inf, 0.5], [0.0, 0.0], [0.0, 0.0]]))
    assert matrix[0, 1] == 0
    assert gradient[0, 0] == 0
    assert np.isfinite(gradient).all()


def test_logits_of_covariates_make_matrices_that_vary_in_time():
    x = np.linspace(-1, 1, 6)
    with pm.Model() as model:
        slope = pm.Normal("slope", shape=(2, 1))
        logits = -1.0 + slope * x[1:, None, None]
        P = pmj.transition_from_logits(logits)
        emission = pm.Normal.dist([0.0, 3.0], 1.0)
        pmj.MarginalHMM("y", emission, P, "uniform", observed=np.zeros(6))
    assert P.type.shape == (5, 2, 2)
    assert np.isfinite(list(model.point_logps().values())).all()


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
    zeros=st.sampled_from([0.0, 0.5]),
)
def test_transition_probabilities_are_the_matrix_exponential(seed, scale, zeros):
    rng = np.random.default_rng(seed)
    rates = scale * rng.exponential(size=(3, 3)) * (rng.random((3, 3)) >= zeros)
    gaps = np.array([0.0, 0.01, 0.7, 0.7, 12.0])
    found = from_rates(gaps)(rates)[0]
    expected = np.array([expm(gap * generator(rates)) for gap in gaps])
    assert_allclose(found, expected, atol=1e-12)
    assert (found[expected == 0] == 0).all()
    assert (found >= 0).all()


def from_rates(gaps):
    def build(*gaps):
        rates = pt.tensor("rates", shape=(3, 3), dtype="float64")
        probs = pmj.transition_from_rates(rates, np.array(gaps))
        weights = np.arange(probs.type.shape[0] * 9).reshape(-1, 3, 3)
        return [rates], [probs, pt.grad((weights * probs).sum(), rates)]

    return function_of(build, *gaps)


def test_the_gradient_of_a_matrix_exponential():
    gaps = (0.3, 2.0, 0.3)
    function = from_rates(gaps)
    weights = np.arange(27).reshape(3, 3, 3)
    off_diagonal = np.eye(3) == 0

    def total(rates):
        return (weights * [expm(gap * generator(rates)) for gap in gaps]).sum()

    rates = RATES + 0.2 * off_diagonal
    expected = central_difference(total, rates)
    assert_allclose(function(rates)[1], expected * off_diagonal, atol=1e-7)


def test_equal_gaps_are_computed_once():
    rates = pt.tensor("rates", shape=(3, 3), dtype="float64")
    probs = pmj.transition_from_rates(rates, np.array([1.0, 2.0, 1.0, 1.0]))
    matrices = [v for v in ancestors([probs]) if getattr(v.type, "ndim", 0) == 3]
    lengths = {v.type.shape[0] for v in matrices}
    assert lengths == {2, 4}


def test_shapes_of_rates_and_gaps():
    per_subject = np.stack([RATES, 2 * RATES])
    gaps = np.array([[0.5, 1.0], [2.0, 0.5]])
    assert evaluate(pmj.transition_from_rates(RATES, 0.5)).shape == (3, 3)
    assert evaluate(pmj.transition_from_rates(RATES, gaps)).shape == (2, 2, 3, 3)
    common = evaluate(pmj.transition_from_rates(per_subject, gaps[0]))
    own = evaluate(pmj.transition_from_rates(per_subject, gaps))
    for n in range(2):
        for t in range(2):
            scaled = generator(per_subject[n])
            assert_allclose(common[n, t], expm(gaps[0, t] * scaled), atol=1e-13)
            assert_allclose(own[n, t], expm(gaps[n, t] * scaled), atol=1e-13)


def test_a_panel_observed_at_irregular_times_with_exact_times_of_death():
    """Against the recursion of a multi-state model written plainly with scipy.linalg.expm."""
    times = np.array([0.0, 0.4, 1.9, 2.0, 4.5])
    seen = np.array([0, 0, 1, 0])  # noisy readings of the stage, then death at 4.5
    reading = np.array([[0.9, 0.1], [0.2, 0.8]])  # from stage to reading
    q = generator(RATES)
    alpha = np.array([1.0, 0.0, 0.0])
    alpha[:2] *= reading[:, seen[0]]
    for t in range(1, 4):
        alpha = alpha @ expm((times[t] - times[t - 1]) * q)
        alpha = np.append(alpha[:2] * reading[:, seen[t]], 0.0)
    alpha = alpha @ expm((times[4] - times[3]) * q)
    expected = np.log(alpha[:2] @ RATES[:2, 2])

    with np.errstate(divide="ignore"):
        ll = np.log(np.vstack([np.c_[reading[:, seen].T, np.zeros(4)], RATES[:, 2]]))
    P = pmj.transition_from_rates(RATES, np.diff(times))
    assert_allclose(evaluate(pmj.hmm_logp(ll, [1.0, 0.0, 0.0], P)), expected, rtol=1e-13)


def test_a_negative_rate_is_impossible():
    rates = np.array([[0.0, -1.0], [1.0, 0.0]])
    matrix = pmj.transition_from_rates(rates, np.ones(3))
    hmm = pmj.MarginalHMM.dist(pm.Normal.dist([0.0, 1.0], 1.0), pt.tensor3("P"), "uniform", steps=4)
    assert np.isnan(evaluate(matrix)).all()
    value = pm.logp(hmm, np.zeros(4)).eval({"P": evaluate(matrix)})
    assert value == -np.inf


def test_the_sticky_prior_is_a_dirichlet_with_a_heavy_diagonal():
    with pm.Model(coords={"state": ["a", "b"], "to": ["a", "b"]}) as model:
        matrix = pmj.sticky_dirichlet("P", 2, stay=3.0, others=0.5, dims=("state", "to"))
    assert model.named_vars_to_dims["P"] == ("state", "to")
    point = np.array([[0.9, 0.1], [0.3, 0.7]])
    expected = logp_of(pm.Dirichlet.dist(np.array([[3.5, 0.5], [0.5, 3.5]])), point)
    assert_allclose(logp_of(matrix, point), expected)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: pmj.transition_from_logits(np.zeros((3, 3))), ShapeError, r"\(\.\.\., K, K-1\)"),
        (lambda: pmj.transition_from_logits(np.zeros(3)), ShapeError, r"\(\.\.\., K, K-1\)"),
        (lambda: pmj.transition_from_rates(np.zeros((2, 3)), 1.0), ShapeError, r"K, K\)"),
        (lambda: pmj.transition_from_rates(np.eye(2), [1.0, -1.0]), ParameterError, "negative"),
        (lambda: pmj.transition_from_rates(np.eye(2), [np.nan]), ParameterError, "finite"),
    ],
)
def test_bad_arguments(build, error, message):
    with pytest.raises(error, match=message):
        build()
