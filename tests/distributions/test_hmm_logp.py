"""hmm_logp against the forward algorithm written plainly, and against its own arguments."""

import numpy as np
import pytensor.tensor as pt
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from scipy.special import logsumexp

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError, ShapeError
from tests.distributions.compiled import (
    evaluate,
    function_of,
    relative_error,
    tensor,
    with_gradients,
)
from tests.reference import hidden_markov as reference
from tests.strategies import CASES, problems

MATRIX = np.array([[0.9, 0.1], [0.2, 0.8]])


def build(shapes, has_lengths):
    names = ("log_likelihoods", "initial_probs", "transition_matrix")
    inputs = [tensor(name, shape) for name, shape in zip(names, shapes[:3], strict=True)]
    lengths = tensor("lengths", shapes[3], dtype="int64") if has_lengths else None
    logp = pmj.hmm_logp(*inputs, lengths=lengths)
    outputs = with_gradients(logp, inputs)
    return [*inputs, lengths] if has_lengths else inputs, outputs


#: Padded, varying in time, in several dimensions, and of many states; tests of the kernel have all.
SOME_CASES = (CASES[2], CASES[3], CASES[4], CASES[7])


@given(problem=problems(SOME_CASES))
def test_value_is_that_of_the_forward_algorithm(problem):
    ll, start, matrix, lengths = problem
    arguments = [ll, start, matrix] + ([] if lengths is None else [lengths])
    shapes = tuple(a.shape for a in arguments)
    value, *gradients = function_of(build, shapes, lengths is not None)(*arguments)
    expected = [
        reference.log_likelihood(*one) if len(one[0]) else 0.0 for one in problem.sequences()
    ]
    assert relative_error(value, np.reshape(expected, value.shape)) <= 1e-12
    assert all(np.isfinite(g).all() for g in gradients)


def test_the_initial_state_is_not_moved_before_the_first_observation():
    value = evaluate(pmj.hmm_logp(np.log([[0.5, 0.25]]), [1.0, 0.0], MATRIX))
    assert_allclose(value, np.log(0.5))


def test_rates_that_do_not_sum_to_one_are_computed_with():
    rates = 0.5 * MATRIX
    value = evaluate(pmj.hmm_logp(np.zeros((4, 2)), [1.0, 0.0], rates))
    assert_allclose(value, 3 * np.log(0.5))


def test_parameters_may_have_sequences_the_evidence_lacks():
    ll = np.log([[0.5, 0.25], [0.1, 0.3]])
    starts = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    value = evaluate(pmj.hmm_logp(ll, starts, MATRIX))
    expected = [reference.log_likelihood(ll, start, MATRIX) for start in starts]
    assert_allclose(value, expected, rtol=1e-14)


def test_a_mixture_of_sequences_gets_exact_weights():
    """The cotangents of the sequences differ and depend on their values."""
    ll = np.log(np.random.default_rng(0).random((3, 4, 2)))
    start = pt.dvector("start")
    total = pt.logsumexp(pmj.hmm_logp(ll, start, MATRIX))
    gradient = function_of(lambda: ([start], [pt.grad(total, start)]))(np.array([0.3, 0.7]))[0]
    values = [reference.log_likelihood(one, np.array([0.3, 0.7]), MATRIX) for one in ll]
    weights = np.exp(values - logsumexp(values))
    each = [reference.gradient(one, np.array([0.3, 0.7]), MATRIX)[1] for one in ll]
    assert_allclose(gradient, np.einsum("n,nk->k", weights, each), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((4, 3)), [0.5, 0.5], MATRIX), ShapeError, "log_likelihoods must have shape"),
        ((np.zeros(2), [0.5, 0.5], MATRIX), ShapeError, "log_likelihoods must have shape"),
        ((np.zeros((0, 2)), [0.5, 0.5], MATRIX), ShapeError, "at least one observation"),
        ((np.zeros((4, 2)), [0.5, 0.5], MATRIX[0]), ShapeError, "transition_matrix must have"),
        ((np.zeros((4, 2)), [1.0], MATRIX), ShapeError, "same number of states"),
        ((np.zeros((4, 2)), [0.5, -0.5], MATRIX), ParameterError, "must not be negative"),
        ((np.zeros((4, 2)), [0.5, np.nan], MATRIX), ParameterError, "must be finite"),
        ((np.zeros((4, 2)), [0.5, 0.5], [MATRIX] * 5), ShapeError, "varies in time"),
        ((np.zeros((4, 3, 2)), np.full((3, 2), 0.5), MATRIX), ShapeError, "must broadcast"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        pmj.hmm_logp(*arguments)


def test_lengths_beyond_the_data_are_refused():
    with pytest.raises(ParameterError, match="between 0 and T"):
        pmj.hmm_logp(np.zeros((2, 4, 2)), [0.5, 0.5], MATRIX, lengths=[5, 2])
