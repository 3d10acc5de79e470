"""Both layouts of a batch of chains, against sums over all indices."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.orientation import (
    ELEMENTWISE_MAX_STATES,
    SequencesLast,
    StatesLast,
    orientation,
)

N, T, K = 2, 4, 3
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("layout", [SequencesLast(), StatesLast()])
@pytest.mark.parametrize("n_matrices", [1, N])
def test_steps_are_sums_over_the_states(layout, n_matrices):
    column, series = RNG.normal(size=(N, K)), RNG.normal(size=(N, T, K))
    matrices = RNG.normal(size=(n_matrices, T - 1, K, K))
    own = np.broadcast_to(matrices[:, 1], (N, K, K))
    laid_out, matrix = layout.column(jnp.asarray(column)), layout.matrices(jnp.asarray(matrices))[1]
    onward = layout.propagate(laid_out, matrix)
    assert_allclose(onward, layout.column(np.einsum("ni,nij->nj", column, own)), rtol=1e-12)
    back = layout.pull_back(matrix, laid_out)
    assert_allclose(back, layout.column(np.einsum("nij,nj->ni", own, column)), rtol=1e-12)
    assert_allclose(layout.sum_states(laid_out), column.sum(axis=1), rtol=1e-12)
    assert_allclose(laid_out.sum(axis=layout.state_axis), column.sum(axis=1), rtol=1e-12)
    in_time = layout.series(jnp.asarray(series))
    assert_array_equal(in_time[2], layout.column(series[:, 2]))
    assert_array_equal(layout.user(in_time), series)


@pytest.mark.parametrize("more", [0, 1])
def test_many_states_come_last(more):
    """So that a step is a product of matrices."""
    states = ELEMENTWISE_MAX_STATES + more
    chain, _ = flatten_batch(np.zeros((N, T, states)), np.ones(states), np.eye(states), None)
    assert isinstance(orientation(chain), StatesLast if more else SequencesLast)
