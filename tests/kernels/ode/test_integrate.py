"""Steps, what is recorded of them and how they end; doses whose effect is known."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pymc_jaxdist.kernels.ode.integrate import integrate
from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Status
from pymc_jaxdist.kernels.ode.rodas5p import Rodas5P
from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4
from pymc_jaxdist.kernels.ode.solve import solve
from pymc_jaxdist.kernels.ode.tsit5 import Tsit5
from tests.slow_cases import slow_except

METHODS = {"tsit5": Tsit5(), "rodas5p": Rodas5P(), "rk4": RK4(0.02)}


def decay(t, segment, y, theta, fixed):
    return -theta[0] * y


def doses_of_one(first, following, y, theta, fixed):
    return y + (following - first)


#: One unit at each knot. Both subjects have one at the start, the first one at an observation, and
#: one of each is after the end.
DECAY = Problem(decay, doses_of_one, rtol=1e-9, atol=1e-12)
DOSES = Inputs(
    y0=np.array([[2.0], [1.0]]),
    theta=np.array([[0.5], [1.3]]),
    t0=np.array([0.0, 1.0]),
    times=np.array([[0.0, 0.5, 1.0, 1.0, 4.0], [1.2, 2.0, 2.5, 3.0, 3.5]]),
    knots=np.array([[0.0, 1.0, 1.5, 9.0], [1.0, 1.9, 1.9, 3.8]]),
)


def exact(y0, theta, t0, times, knots):
    """Return the amount ``(N, T)``; what is observed at the time of a dose is before it."""
    rate = theta[:, :1]
    # Those at or before a time that is the start come with the first step.
    since = times[:, :, None] - knots[:, None, :]
    of_doses = jnp.where(since > 0, jnp.exp(-rate[..., None] * since), 0.0).sum(axis=-1)
    return y0 * jnp.exp(-rate * (times - t0[:, None])) + of_doses


def compiled(method, reverse):
    @jax.jit
    def solution(inputs):
        return solve(DECAY, (method,), inputs, (), reverse)

    return solution


@pytest.mark.parametrize(
    ("name", "n_doses"),
    [("tsit5", 4), ("rk4", 4), ("tsit5", 0), pytest.param("rodas5p", 4, marks=pytest.mark.slow)],
)
def test_doses_and_their_derivatives_by_everything(name, n_doses):
    """The start, the rate, the times of the start, of the observations and of the doses."""
    solution = compiled(METHODS[name], reverse=False)
    inputs = DOSES._replace(knots=DOSES.knots[:, :n_doses])
    found = solution(inputs)
    assert found.status.tolist() == [Status.SUCCESS] * 2
    assert_allclose(found.states[..., 0], exact(*inputs), rtol=1e-7)
    weights = np.random.default_rng(0).normal(size=(2, 5))
    # But for an observation at the start, nothing at the same time as anything else: before and
    # after that derivatives differ. Of two doses a hundredth apart there is a single step between.
    inside = inputs._replace(
        times=inputs.times + np.array([0.0, 0.0, 0.2, 0.3, 0.0]),
        knots=inputs.knots + np.array([0.05, 0.05, 0.06, -0.45])[:n_doses],
    )
    mine = jax.grad(lambda x: (weights * solution(x).states[..., 0]).sum())(inside)
    expected = jax.grad(lambda x: (weights * exact(*x)).sum())(inside)
    for by_mine, by_exact in zip(mine, expected, strict=True):
        assert_allclose(by_mine, by_exact, rtol=1e-6, atol=1e-7)


def gradient(function, inputs):
    """Return the gradient of a weighted sum by the start and the rate."""
    weights = np.random.default_rng(0).normal(size=(2, 5))

    def total(y0, theta):
        return (weights * function(inputs._replace(y0=y0, theta=theta))).sum()

    return jax.grad(total, (0, 1))(inputs.y0, inputs.theta)


@pytest.mark.parametrize(
    ("name", "n_doses"),
    [
        ("tsit5", 4),
        ("rk4", 4),
        ("tsit5", 1),
        ("tsit5", 0),
        pytest.param("rodas5p", 4, marks=pytest.mark.slow),
    ],
)
def test_doses_in_reverse(name, n_doses):
    inputs = DOSES._replace(knots=DOSES.knots[:, 2 : 2 + n_doses] if n_doses < 4 else DOSES.knots)
    solution = compiled(METHODS[name], reverse=True)
    mine = gradient(lambda x: solution(x).states[..., 0], inputs)
    expected = gradient(lambda x: exact(*x), inputs)
    for by_mine, by_exact in zip(mine, expected, strict=True):
        assert_allclose(by_mine, by_exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_steps_follow_one_another_and_end_where_they_must(name):
    method = METHODS[name]
    inputs = Inputs(*map(jnp.asarray, DOSES))
    found = jax.jit(lambda x: integrate(DECAY, method, x, (), recorded_steps=500))(inputs)
    solution, record = jax.device_get((found.solution, found.record))
    for i in range(2):
        n = int(solution.accepted[i])
        t, h, y = record.t[:n, i], record.h[:n, i], record.y[:n, 0, i]
        times, knots = DOSES.times[i], DOSES.knots[i]
        assert t[0] == DOSES.t0[i]
        assert y[0] == DOSES.y0[i, 0]
        assert (h > 0).all()
        assert_allclose(t[1:], (t + h)[:-1], rtol=1e-14)
        assert_allclose(t[-1] + h[-1], times[-1], rtol=1e-14)
        if method.fixed_size is not None:
            assert_allclose(h.max(), 0.02, rtol=0.051)
        stops = [*knots, *times] if method.lands_on_observations else knots
        assert {x for x in stops if t[0] <= x < times[-1]} <= set(t.tolist())
        assert_array_equal(record.next_time[:n, i], (times <= t[:, None]).sum(axis=1))
        next_knot = (knots <= t[:, None]).sum(axis=1)
        assert_array_equal(record.next_knot[:n, i], next_knot)
        assert_array_equal(record.first_knot[:n, i], [0, *next_knot[:-1]])
        # Each step begins before what happens there.
        before = exact(*(x[i : i + 1] for x in DOSES[:3]), t[None], DOSES.knots[i : i + 1])[0]
        assert_allclose(y, before, rtol=1e-7)


def oscillation(t, segment, y, theta, fixed):
    return jnp.stack([y[1], -theta[0] * y[0] * (1 + jnp.sin(5 * t) ** 2)])


def turns(**changes):
    given = {
        "y0": np.array([[1.0, 0.0]] * 2),
        "theta": np.array([[3.0], [30.0]]),
        "t0": np.zeros(2),
        "times": np.array([[1.0, 3.0]] * 2),
        "knots": np.zeros((2, 0)),
    }
    return Inputs(**{name: jnp.asarray(x) for name, x in {**given, **changes}.items()})


@pytest.mark.parametrize("name", slow_except(["tsit5", "rk4"], "rk4"))
def test_as_many_steps_as_it_takes_are_enough(name):
    """Tried ones count as well, where there is a limit; only accepted ones are recorded."""
    method, equation = METHODS[name], Problem(oscillation)
    free = integrate(equation, method, turns(), ()).solution
    assert free.status.tolist() == [Status.SUCCESS] * 2
    assert (free.rejected[1] > 0) == (name == "tsit5")
    tried, accepted = int((free.accepted + free.rejected)[1]), int(free.accepted[1])
    for spare in (0, -1):
        limited = integrate(replace(equation, max_steps=tried + spare), method, turns(), ())
        recorded = integrate(equation, method, turns(), (), recorded_steps=accepted + spare)
        for solution, _, _ in limited, recorded:
            assert (solution.status[1] == Status.SUCCESS) == (spare == 0)
            assert solution.status[1] in (Status.SUCCESS, Status.TOO_MANY_STEPS)
            assert np.isfinite(solution.states[1, 0]).all()
            assert np.isfinite(solution.states[1, 1]).all() == (spare == 0)


def test_subjects_that_are_not_active_are_left_alone():
    active = jnp.array([False, True])
    both = integrate(Problem(oscillation), Tsit5(), turns(), ()).solution
    found = integrate(Problem(oscillation), Tsit5(), turns(), (), active=active).solution
    assert found.status.tolist() == [Status.SUCCESS] * 2
    assert found.accepted.tolist() == [0, both.accepted[1]]
    assert np.isnan(found.states[0]).all()
    assert_array_equal(found.states[1], both.states[1])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"times": np.array([[-0.1, 3.0], [1.0, 3.0]])}, Status.BEFORE_START),
        ({"times": np.array([[1.0, np.inf], [1.0, 3.0]])}, Status.NOT_FINITE),
        ({"t0": np.array([np.nan, 0.0])}, Status.NOT_FINITE),
        ({"y0": np.array([[np.nan, 0.0], [1.0, 0.0]])}, Status.NOT_FINITE),
        ({"theta": np.array([[np.inf], [30.0]])}, Status.NOT_FINITE),
    ],
)
def test_what_cannot_be_solved_fails_before_any_step(changes, expected):
    """Beside a subject that is solved."""
    found = integrate(Problem(oscillation), Tsit5(), turns(**changes), ()).solution
    alone = integrate(Problem(oscillation), Tsit5(), turns(), ()).solution
    assert found.status.tolist() == [expected, Status.SUCCESS]
    assert found.accepted[0] == found.rejected[0] == 0
    assert np.isnan(found.states[0]).all()
    assert_array_equal(found.states[1], alone.states[1])


def test_a_subject_with_nothing_to_solve_takes_no_step():
    found = integrate(Problem(oscillation), Tsit5(), turns(times=np.zeros((2, 2))), ()).solution
    assert found.status.tolist() == [Status.SUCCESS] * 2
    assert found.accepted.tolist() == found.rejected.tolist() == [0, 0]
    assert_array_equal(found.states, np.array([[[1.0, 0.0]] * 2] * 2))


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (lambda t, segment, y, theta, fixed: y**2, Status.STEP_TOO_SMALL),
        (
            lambda t, segment, y, theta, fixed: jnp.where(t > 0.5, jnp.nan, -y),
            Status.NOT_FINITE,
        ),
    ],
)
def test_why_a_solve_ends_early(field, expected):
    """At a pole, and where the field ends; what came before is there."""
    inputs = turns(y0=np.ones((2, 1)), times=np.array([[0.25, 2.0], [0.25, 0.4]]))
    found = integrate(Problem(field), Tsit5(), inputs, ()).solution
    assert found.status.tolist() == [expected, Status.SUCCESS]
    assert np.isfinite(found.states[0, 0]).all()
    assert np.isnan(found.states[0, 1]).all()


def test_steps_of_fixed_size_fail_where_the_field_ends():
    field = Problem(lambda t, segment, y, theta, fixed: jnp.where(t > 0.5, jnp.nan, -y))
    found = integrate(field, RK4(0.1), turns(y0=np.ones((2, 1))), ()).solution
    assert found.status.tolist() == [Status.NOT_FINITE] * 2
    assert found.rejected.tolist() == [1, 1]


@pytest.mark.parametrize("name", ["tsit5", "rodas5p"])
def test_a_state_that_stays_zero_does_not_fail_in_single_precision(name):
    """Where a tolerance of 1e-100 is zero, as are the error and what it is relative to."""
    problem = Problem(lambda t, segment, y, theta, fixed: -theta * y, None, rtol=1e-4, atol=1e-100)
    single = Inputs(
        y0=jnp.asarray([[1.0, 0.0]], dtype="float32"),
        theta=jnp.ones((1, 2), dtype="float32"),
        t0=jnp.zeros(1, dtype="float32"),
        times=jnp.ones((1, 1), dtype="float32"),
        knots=jnp.zeros((1, 0), dtype="float32"),
    )
    found = jax.jit(lambda x: integrate(problem, METHODS[name], x, ()))(single).solution
    assert found.status.tolist() == [Status.SUCCESS]
    assert_allclose(found.states[0, 0], [np.exp(-1.0), 0.0], rtol=1e-4)
