"""Chains of order two against the sum over all paths."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError, ShapeError
from tests.distributions.compiled import evaluate, function_of, logp_of, with_gradients
from tests.reference import hidden_markov as reference
from tests.reference.differences import central_difference
from tests.reference.remembered_states import order_two_paths, total_and_occupancies

K, T = 3, 5
MU = np.array([-1.0, 0.0, 2.0])
RNG = np.random.default_rng(0)
TENSOR = RNG.dirichlet(np.ones(K), size=(K, K))
START = RNG.dirichlet(np.ones(K * K)).reshape(K, K)


def evidence(y):
    return np.where(np.isnan(y)[:, None], 0.0, stats.norm.logpdf(y[:, None], MU, 1.0))


def build():
    shapes = {"y": (T,), "start": (K, K), "tensor": (K, K, K)}
    y, start, tensor = (pt.tensor(name, shape=shape) for name, shape in shapes.items())
    hmm = pmj.MarginalHMM.dist(pm.Normal.dist(MU, 1.0), tensor, start, shape=T, order=2)
    logp = pm.logp(hmm, y)
    return [y, start, tensor], with_gradients(logp, [start, tensor])


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), zeros=st.booleans())
def test_log_likelihood_is_the_sum_over_all_paths(seed, zeros):
    rng = np.random.default_rng(seed)
    y = rng.normal(scale=2.0, size=T)
    y[rng.random(T) < 0.2] = np.nan
    tensor = rng.dirichlet(np.ones(K), size=(K, K))
    if zeros:
        tensor[rng.random((K, K)) < 0.5] = [0.0, 0.25, 0.75]
    value, *_ = function_of(build)(y, START, tensor)
    expected, _ = total_and_occupancies(order_two_paths(evidence(y), START, tensor), T, K)
    assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_that_of_finite_differences():
    y = np.array([0.3, 2.0, np.nan, -1.0, 0.1])
    *_, of_tensor = function_of(build)(y, START, TENSOR)

    def moved(rows):  # rows that still sum to one: along the last entry
        tensor = TENSOR.copy()
        tensor[..., 0] += rows
        tensor[..., 2] -= rows
        return function_of(build)(y, START, tensor)[0]

    expected = central_difference(moved, np.zeros((K, K)))
    assert_allclose(of_tensor[..., 0] - of_tensor[..., 2], expected, atol=1e-7)


def test_order_two_without_memory_is_order_one():
    matrix = TENSOR[0]
    y = np.array([[0.3, 2.0, -1.0, 0.1], [1.0, 1.0, 0.0, 0.0]])
    twice = np.broadcast_to(matrix, (K, K, K))
    hmm = pmj.MarginalHMM.dist(pm.Normal.dist(MU, 1.0), twice, shape=(2, 4), order=2)
    start = reference.stationary_distribution(matrix)
    expected = [float(reference.log_likelihood(evidence(own), start, matrix)) for own in y]
    assert_allclose(logp_of(hmm, y), expected, rtol=1e-12)


def test_order_two_takes_lengths_labels_and_transitions_that_vary_in_time():
    y = np.array([[0.3, 2.0, -1.0, 99.0], [1.0, 1.0, 0.0, 0.0]])
    labels = np.array([[-1, 2, -1, -1], [0, -1, -1, 1]])
    tensors = RNG.dirichlet(np.ones(K), size=(3, K, K))
    hmm = pmj.MarginalHMM.dist(
        pm.Normal.dist(MU, 1.0),
        tensors,
        START,
        lengths=[3, 4],
        allowed_states=labels,
        shape=(2, 4),
        order=2,
    )
    value = logp_of(hmm, y)
    for n, length in enumerate([3, 4]):
        ll = evidence(y[n, :length])
        for t, label in enumerate(labels[n, :length]):
            if label >= 0:
                ll[t, np.arange(K) != label] = -np.inf
        expected, _ = total_and_occupancies(order_two_paths(ll, START, tensors), length, K)
        assert_allclose(value[n], expected, rtol=1e-12)


def test_draws_follow_the_chain():
    """From state h by way of i always to the third."""
    tensor = np.zeros((K, K, K))
    for h in range(K):
        for i in range(K):
            tensor[h, i, (3 - h - i) % K if h != i else i] = 1.0
    start = np.full((K, K), 1 / 6)
    np.fill_diagonal(start, 0.0)
    hmm = pmj.MarginalHMM.dist(pm.Normal.dist(MU, 1e-9), tensor, start, shape=(4, 9), order=2)
    states = np.abs(evaluate(hmm)[..., None] - MU).argmin(axis=-1)
    assert (states[:, 2:] == 3 - states[:, :-2] - states[:, 1:-1]).all()
    assert (states[:, 0] != states[:, 1]).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((TENSOR[0], START, 2), ShapeError, r"must have shape \(..., K, K, K\)"),
        ((TENSOR, START[0], 2), ShapeError, "must have 2 axes of states"),
        ((TENSOR, START, 0), ParameterError, "order must be a positive integer"),
        ((TENSOR * 2, START, 2), ParameterError, "must sum to 1"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, message):
    tensor, start, order = arguments
    with pytest.raises(error, match=message):
        pmj.MarginalHMM.dist(pm.Normal.dist(MU, 1.0), tensor, start, steps=4, order=order)
