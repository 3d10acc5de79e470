"""Linear systems, whose solutions and derivatives are known: dy/dt = A y + b, for every solver.

With a one appended to the state, the system is z' = M z: solutions are exponentials of M, and
derivatives by an entry of M are blocks of the exponential of [[M, E], [0, M]] (Van Loan, 1978).

Each step of size h adds a local error, which the exact flow then carries on (Hairer, Nørsett and
Wanner, 1993, section II.3): at time t, an error made at s counts ``|exp(A (t - s))|`` times. A step
may err by ``rtol |y(s)| + atol``. The largest product of the two is the scale of the error at t:
``|y|`` itself for a stable normal system, more where modes grow or are far from orthogonal.
Solutions must be right to a few times rtol in these units. How many steps add up does not matter:
the method of order 5 that advances errs much less than the estimate, which is of order 4.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import block_diag, expm
from threadpoolctl import threadpool_limits

from pymc_jaxdist.kernels.ode.equation import Equation
from pymc_jaxdist.kernels.ode.layout import Argument, Structure
from pymc_jaxdist.kernels.ode.matrix_exponential import LinearODE
from pymc_jaxdist.kernels.ode.problem import Status
from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4

SYSTEM = LinearODE(lambda p: p[0], lambda p: p[1])
EXACT, EXPLICIT, STIFF, AUTO = "exact", "tsit5", "rodas5p", "auto"

# In units of rtol. Rodas5P enlarges its estimate 400 times, and is that much more accurate.
LARGEST_ERROR = {EXPLICIT: 4.0, AUTO: 4.0, STIFF: 4.0 / 400}
# The local error is of degree 6 in h A: what changes A by one part changes the error by six. And
# a mode may be smaller in the solution than in its derivatives: ten times, the largest condition
# of a basis here.
LARGEST_ERROR_OF_DERIVATIVES = {solver: 10 * most for solver, most in LARGEST_ERROR.items()}
# Atol as a part of rtol, for states of about one.
ATOL = 1e-3
RK4_STEP = 0.05


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads for matrices of a few rows wait for each other, up to a hundred times as long."""
    with threadpool_limits(1):
        yield


class Linear(NamedTuple):
    """A linear system, when it begins, and when it is observed."""

    matrix: np.ndarray
    constant: np.ndarray
    y0: np.ndarray
    t0: float
    times: np.ndarray
    rtol: float

    @property
    def augmented(self):
        n = len(self.y0)
        return np.block([[self.matrix, self.constant[:, None]], [np.zeros((1, n + 1))]])

    @property
    def since(self):
        return self.times - self.t0

    @property
    def rounding(self):
        """What the solution changes by if times are rounded."""
        latest = np.abs(self.times).max() + abs(self.t0)
        return 2 * np.finfo(float).eps * latest * np.linalg.norm(self.augmented, 2)


def modes(rng, n, kind):
    """A matrix with the eigenvalues of a kind, before a change of basis."""
    rates = 10 ** (rng.uniform(-1, 4, size=n) if kind == "stiff" else rng.uniform(-0.5, 0.7, n))
    if kind == "stiff":
        rates[-1] = 1e5 * rates[0] if rates[0] < 0.1**0.5 and n > 1 else rates[-1]
    blocks = -np.diag(rates)
    if kind == "zero":
        zero = np.arange(n) < rng.integers(1, max(2, n))
        blocks[zero, zero] = 0.0
    elif kind == "growing":
        blocks[0, 0] = rng.uniform(0.0, 0.8)
    elif kind == "oscillating":
        for i in range(0, n - 1, 2):
            frequency = rng.uniform(0.0, 6.0)
            blocks[i : i + 2, i : i + 2] = [[-rates[i], frequency], [-frequency, -rates[i]]]
    elif kind == "nearly defective":
        blocks = -rates[0] * np.eye(n) + np.eye(n, k=1) + 1e-8 * np.diag(np.arange(n))
    return blocks


KINDS = ("decaying", "oscillating", "zero", "growing", "nearly defective")


@st.composite
def linear_systems(draw, sizes, stiff=False, all_modes=False):
    """Draw what a system is like; NumPy builds it.

    With ``all_modes`` none is absent from the solution, or small beside where it comes to rest.
    Derivatives are those of the steps, and steps are chosen for the solution: they resolve no mode
    that is not part of it, and none at all of a solution that has decayed to less than atol. So it
    does not come to rest at zero either.
    """
    n = draw(st.sampled_from(sizes))
    kind = draw(st.sampled_from((*KINDS, *["stiff"] * (4 * stiff))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    basis = left * 10 ** rng.uniform(-0.5, 0.5, size=n) @ right
    blocks = modes(rng, n, kind)
    matrix = basis @ blocks @ np.linalg.inv(basis)
    constant = rng.normal(size=n) * (all_modes or draw(st.booleans()))
    if all_modes or draw(st.booleans()):
        y0 = basis @ (rng.choice([-1, 1], size=n) * rng.uniform(0.5, 2.0, size=n))
        at_rest = basis @ np.linalg.pinv(blocks, rcond=1e-9) @ np.linalg.solve(basis, -constant)
        y0 = y0 * max(1.0, np.linalg.norm(at_rest)) + at_rest
    else:
        y0 = rng.normal(size=n) * rng.choice([0.0, 1.0], size=n)
    t0 = draw(st.sampled_from([0.0, 0.0, -2.5, rng.uniform(-5, 5)]))
    times = t0 + rng.uniform(0, draw(st.sampled_from([0.1, 4.0])), size=8)
    times[1] = t0
    times[2] = times[3]
    times[4] = np.nextafter(times[5], np.inf)
    times[6] = times[7] + 1e-9
    rtol = 10 ** draw(st.floats(-10, -3))
    return Linear(matrix, constant, y0, t0, rng.permutation(times), rtol)


def flow(matrix, durations):
    return expm(matrix * np.asarray(durations)[:, None, None])


def solution(system, since):
    z = np.append(system.y0, 1.0)
    return (flow(system.augmented, since) @ z)[:, :-1]


def entries(n):
    """The directions of the entries of A and of b within M."""
    directions = np.zeros((n * (n + 1), n + 1, n + 1))
    positions = [(i, j) for i in range(n) for j in range(n)] + [(i, n) for i in range(n)]
    for direction, position in zip(directions, positions, strict=True):
        direction[position] = 1.0
    return directions


def derivatives(system, since):
    """Derivatives ``(T, n, ...)`` by y0, A, b and t0."""
    n = len(system.y0)
    whole, z = system.augmented, np.append(system.y0, 1.0)
    zero = np.zeros_like(whole)
    found = [
        (flow(np.block([[whole, e], [zero, whole]]), since)[:, :n, n + 1 :] @ z) for e in entries(n)
    ]
    by_entries = np.stack(found, axis=-1)
    return (
        flow(system.matrix, since),
        by_entries[..., : n * n].reshape(-1, n, n, n),
        by_entries[..., n * n :],
        -(solution(system, since) @ system.matrix.T + system.constant),
    )


def moments(system):
    """Times since the beginning, those of observations and others, early and late."""
    last = system.since.max()
    early, evenly = last * np.geomspace(1e-6, 1, 12), np.linspace(0, last, 12)
    return np.unique(np.concatenate([system.since, early, evenly]))


def scale_of_errors(system):
    """For each observation, the largest ``|exp(A (t - s))| (|y(s)| + atol / rtol)``."""
    s = moments(system)
    size = np.linalg.norm(solution(system, s), axis=1) + ATOL
    between = system.since[:, None] - s
    carried = flow(system.matrix, np.maximum(between, 0).ravel())
    carried = np.linalg.norm(carried, 2, axis=(1, 2)).reshape(between.shape)
    return np.max(np.where(between >= 0, carried * size, 0), axis=1)


def scales_of_derivatives(system):
    """For y0, A, b and t0, the largest derivative, times the largest ``|exp(A t)|``."""
    s = moments(system)
    growth = np.linalg.norm(flow(system.matrix, s), 2, axis=(1, 2)).max()
    return [growth * np.abs(d).max() for d in derivatives(system, s)]


@lru_cache
def trajectory(solver, differentiate):
    """Compile what solves a system, with tolerances that may vary; see `Equation`."""
    reverse = differentiate == "reverse"
    differentiable = (True, not reverse, False, True, True)

    def run(y0, matrix, constant, t0, times, rtol):
        equation = Equation(
            SYSTEM if solver == EXACT else SYSTEM.__call__,
            None,
            Structure(jax.tree.structure((0, 0))),
            tuple(Argument(False, moves) for moves in differentiable),
            batch_ndim=0,
            rtol=rtol,
            atol=ATOL * rtol,
            max_steps=4000,
            solver=AUTO if solver == EXACT else solver,
            sensitivity="reverse" if reverse else "forward",
        )
        found = equation.trajectory(y0, t0, times, matrix, constant)
        return found.states, found

    def weighted(y0, matrix, constant, t0, times, rtol, weights):
        states, found = run(y0, matrix, constant, t0, times, rtol)
        return jnp.sum(weights * states), found

    if reverse:
        return jax.jit(jax.grad(weighted, (0, 1, 2), has_aux=True))
    if differentiate == "forward":
        return jax.jit(jax.jacfwd(run, (0, 1, 2, 3), has_aux=True))
    return jax.jit(lambda *arguments: run(*arguments)[1])


def arguments(system):
    return system.y0, system.matrix, system.constant, system.t0, system.times, system.rtol


def check_states(system, solver, found):
    assert found.solution.status[0] == Status.SUCCESS
    error = np.linalg.norm(found.states - solution(system, system.since), axis=1)
    allowed = LARGEST_ERROR[solver] * system.rtol + system.rounding
    assert np.max(error / scale_of_errors(system)) <= allowed


def is_solved(system, solver):
    check_states(system, solver, trajectory(solver, None)(*arguments(system)))


@given(linear_systems([1, 2, 4]))
def test_an_explicit_method_is_as_exact_as_asked(system):
    is_solved(system, EXPLICIT)


@given(linear_systems([1, 3], stiff=True))
def test_a_stiff_method_is_as_exact_as_asked(system):
    is_solved(system, STIFF)


def check_forward_derivatives(system, solver):
    """Those by t0 are of one order less: of a step that ends elsewhere, or is interpolated there.

    The local error of order 5 is rtol, which makes errors of order 4 ``rtol ** (4 / 5)``.
    """
    jacobians, found = trajectory(solver, "forward")(*arguments(system))
    check_states(system, solver, found)
    rtol, most = system.rtol, LARGEST_ERROR_OF_DERIVATIVES[solver]
    errors = [most * rtol] * 3 + [LARGEST_ERROR[solver] * rtol**0.8]
    expected, scales = derivatives(system, system.since), scales_of_derivatives(system)
    # A state observed at t0 has no derivative by t0 on both sides.
    later = system.since > 0
    for mine, exact, scale, error in zip(jacobians, expected, scales, errors, strict=True):
        allowed = scale * (error + system.rounding)
        assert_allclose(mine[later], exact[later], rtol=0, atol=allowed)
    for mine, exact in zip(jacobians[:3], expected, strict=False):
        assert_allclose(mine[~later], exact[~later], rtol=0, atol=0)


@pytest.mark.slow
@given(linear_systems([5], all_modes=True))
def test_forward_derivatives_of_an_explicit_method(system):
    check_forward_derivatives(system, EXPLICIT)


@pytest.mark.slow
@given(linear_systems([5], stiff=True, all_modes=True))
def test_forward_derivatives_of_a_stiff_method(system):
    check_forward_derivatives(system, STIFF)


@given(linear_systems([2], stiff=True, all_modes=True))
def test_forward_derivatives_by_the_choice_of_a_method(system):
    check_forward_derivatives(system, AUTO)


def check_reverse_derivatives(system, solver):
    weights = np.random.default_rng(0).normal(size=(len(system.times), len(system.y0)))
    gradients, found = trajectory(solver, "reverse")(*arguments(system), weights)
    check_states(system, solver, found)
    error = LARGEST_ERROR_OF_DERIVATIVES[solver] * system.rtol + system.rounding
    expected, scales = derivatives(system, system.since), scales_of_derivatives(system)
    for mine, exact, scale in zip(gradients, expected, scales, strict=False):
        allowed = scale * np.abs(weights).sum() * error
        assert_allclose(mine, np.tensordot(weights, exact, 2), rtol=0, atol=allowed)


@pytest.mark.slow
@given(linear_systems([3], all_modes=True))
def test_reverse_derivatives_of_an_explicit_method(system):
    check_reverse_derivatives(system, EXPLICIT)


@pytest.mark.slow
@given(linear_systems([4], stiff=True, all_modes=True))
def test_reverse_derivatives_of_a_stiff_method(system):
    check_reverse_derivatives(system, STIFF)


@given(linear_systems([3], stiff=True, all_modes=True))
def test_reverse_derivatives_by_the_choice_of_a_method(system):
    check_reverse_derivatives(system, AUTO)


@given(linear_systems([3], stiff=True))
def test_the_matrix_exponential_and_its_derivatives_are_exact(system):
    """Also by t0 of what is observed there, from the side where there is a solution."""
    jacobians, found = trajectory(EXACT, "forward")(*arguments(system))
    assert found.solution.status[0] == Status.SUCCESS
    allowed = 1e-12 + system.rounding
    s = moments(system)
    growth = np.linalg.norm(flow(system.augmented, s), 2, axis=(1, 2)).max()
    size = np.abs(solution(system, s)).max() + 1  # the one that is appended
    expected = solution(system, system.since)
    assert_allclose(found.states, expected, rtol=0, atol=growth * size * allowed)
    scales = scales_of_derivatives(system)
    for mine, exact, scale in zip(
        jacobians, derivatives(system, system.since), scales, strict=True
    ):
        assert_allclose(mine, exact, rtol=0, atol=(scale + growth * size) * allowed)


@given(linear_systems([3], stiff=True))
def test_the_matrix_exponential_is_differentiated_in_reverse(system):
    weights = np.random.default_rng(0).normal(size=(8, 3))
    backward, _ = trajectory(EXACT, "reverse")(*arguments(system), weights)
    forward, _ = trajectory(EXACT, "forward")(*arguments(system))
    for mine, theirs in zip(backward, forward, strict=False):
        size = np.abs(theirs).max() + 1
        allowed = (1e-12 + system.rounding) * size * np.abs(weights).sum()
        assert_allclose(mine, np.tensordot(weights, theirs, 2), rtol=0, atol=allowed)


def error_of_fixed_steps(matrix, state, span):
    """Bound the error of RK4: each step leaves out the terms of exp(h M) from the fifth on."""
    h, size = 1.05 * RK4_STEP, np.linalg.norm(matrix, 2)  # the last step may be a little longer
    carried = flow(matrix, np.linspace(0, span, 15))
    growth = np.linalg.norm(carried, 2, axis=(1, 2)).max()
    states = np.linalg.norm(carried @ state, axis=1).max()
    return 1.5 * growth * states * span * h**4 * size**5 / 120 * np.exp(h * size) + 1e-12


def test_the_matrix_exponential_takes_steps_of_any_size():
    """A slow mode is still there when a fast one has gone: rates of 10 and 1e-5, over a day."""
    matrix = np.array([[-10.0, 0.0], [10.0, -1e-5]])
    day = 86400.0
    times = np.linspace(0, day, 2)
    system = Linear(matrix, np.zeros(2), np.array([1.0, 0.0]), 0.0, times, 1e-6)
    found = trajectory(EXACT, None)(*arguments(system))
    slow = 10.0 / (10.0 - 1e-5) * np.exp(-1e-5 * day)
    assert found.solution.status[0] == Status.SUCCESS
    assert_allclose(found.states[-1], [0.0, slow], rtol=1e-9, atol=1e-9)


def test_a_state_observed_at_the_beginning_depends_on_when_that_is():
    """An earlier beginning leaves it time to change; from a later one there is no solution."""
    matrix, times = np.diag([-1.0, -2.0]), np.array([0.0, 1.0])
    system = Linear(matrix, np.zeros(2), np.array([1.0, 1.0]), 0.0, times, 1e-8)
    (*_, by_t0), _ = trajectory(EXPLICIT, "forward")(*arguments(system))
    assert_allclose(by_t0[0], [1.0, 2.0], rtol=1e-6)


@given(linear_systems([2]))
def test_fixed_steps_err_by_what_they_leave_out_of_the_exponential(system):
    """So do their derivatives: those of RK4's steps are RK4's steps for the derivatives."""
    jacobians, found = trajectory(RK4(RK4_STEP), "forward")(*arguments(system))
    assert found.solution.status[0] == Status.SUCCESS
    whole, z, span = system.augmented, np.append(system.y0, 1.0), system.since.max()
    expected, allowed = solution(system, system.since), error_of_fixed_steps(whole, z, span)
    assert_allclose(found.states, expected, rtol=0, atol=allowed)
    by_y0, by_matrix, by_constant, _ = derivatives(system, system.since)
    allowed = max(error_of_fixed_steps(system.matrix, e, span) for e in np.eye(2))
    assert_allclose(jacobians[0], by_y0, rtol=0, atol=allowed)
    z = np.append(np.zeros(3), z)
    allowed = max(
        error_of_fixed_steps(block_diag(whole, whole) + np.kron([[0, 1], [0, 0]], e), z, span)
        for e in entries(2)
    )
    assert_allclose(jacobians[1], by_matrix, rtol=0, atol=allowed)
    assert_allclose(jacobians[2], by_constant, rtol=0, atol=allowed)
