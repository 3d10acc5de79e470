"""Linear systems, against the exponential of SciPy."""

import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
from scipy.linalg import expm

from pymc_jaxdist.kernels.ode.matrix_exponential import LinearODE, solve_linear
from pymc_jaxdist.kernels.ode.problem import Inputs, Status

RNG = np.random.default_rng(0)
MATRICES, CONSTANTS = RNG.normal(size=(3, 2, 2)), RNG.normal(size=(3, 2))


def field(theta, fixed):
    return theta[:4].reshape(2, 2), theta[4:]


def solutions(t0, times, matrices=MATRICES):
    theta = np.concatenate([matrices.reshape(3, 4), CONSTANTS], axis=1)
    y0 = np.array([[1.0, 0.0], [2.0, -1.0], [0.0, 0.0]])
    inputs = Inputs(*map(jnp.asarray, (y0, theta, t0, times, np.zeros((3, 0)))))
    return y0, solve_linear(field, inputs, ())


def test_states_are_those_of_one_exponential():
    """At the beginning, and at times that repeat."""
    t0 = np.array([0.0, 1.0, -1.0])
    times = np.array([[0.0, 0.5, 2.0], [1.5, 1.5, 3.0], [-1.0, -1.0, 0.2]])
    y0, found = solutions(t0, times)
    for i in range(3):
        at_rest = np.linalg.solve(MATRICES[i], -CONSTANTS[i])
        for j in range(3):
            expected = at_rest + expm(MATRICES[i] * (times[i, j] - t0[i])) @ (y0[i] - at_rest)
            assert_allclose(found.states[i, j], expected, rtol=1e-11, atol=1e-12)
    assert (found.status == Status.SUCCESS).all()
    for none in (found.accepted, found.rejected, found.stiffness):
        assert none.tolist() == [0, 0, 0]


def test_times_before_the_beginning_have_no_solution():
    times = np.array([[-0.5, 0.0, 1.0], [0.0, 1.0, 2.0], [-2.0, -1.0, 0.0]])
    _, found = solutions(np.zeros(3), times)
    unknown = np.isnan(found.states).all(axis=-1)
    assert unknown.tolist() == [[True, False, False], [False] * 3, [True, True, False]]
    failed, solved = Status.BEFORE_START, Status.SUCCESS
    assert found.status.tolist() == [failed, solved, failed]
    assert np.isfinite(found.states[0, 1:]).all()


def test_what_is_not_finite_is_a_failure_of_its_subject_alone():
    matrices = MATRICES.copy()
    matrices[1, 0, 1] = np.nan
    _, found = solutions(np.zeros(3), np.tile([1.0, 2.0], (3, 1)), matrices)
    assert found.status.tolist() == [Status.SUCCESS, Status.NOT_FINITE, Status.SUCCESS]


def test_as_a_vector_field():
    """For solvers that step."""
    y = jnp.array([1.0, 2.0])
    bare = LinearODE(lambda p: p * MATRICES[0])
    assert_allclose(bare(0.0, y, 2.0), 2.0 * MATRICES[0] @ y, rtol=1e-12)
    driven = LinearODE(lambda p: p * MATRICES[0], lambda p: p * CONSTANTS[0])
    assert_allclose(driven(0.0, y, 2.0), 2.0 * (MATRICES[0] @ y + CONSTANTS[0]), rtol=1e-12)
