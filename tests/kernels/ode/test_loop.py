"""The loop over steps of several subjects against one over those of each, in plain Python.

The method is Euler's, which lets an equation say how stiff it is.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.kernels.ode.integrate import STIFF_STEPS, STRETCH, integrate
from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Status
from pymc_jaxdist.kernels.ode.step import Step
from pymc_jaxdist.kernels.ode.step_size import error_norm, first_step_size, step_size_factor
from pymc_jaxdist.kernels.ode.stiff_at_start import stiffness_at_start
from tests.slow_cases import slow_except


@dataclass(frozen=True)
class Euler:
    """Euler's method; the slope of the second state is what it takes for stiffness."""

    fixed_size: float | None = None
    lands_on_observations: bool = False

    error_order = 2
    stability_limit = 1.0
    reuses_slope = True

    def step(self, f, t, h, y, slope):
        end = y + h * slope
        following = f(t + h, end)
        return Step(end, following, h / 2 * (following - slope), (), slope[1])

    def interpolate(self, u, h, y, step):
        return y + u * (step.y - y)


def field(t, segment, y, theta, fixed):
    rate, frequency, last, stiffness, swing = theta
    slope = jnp.where(t > last, jnp.nan, frequency * jnp.cos(frequency * t) - rate * y[0])
    return jnp.stack([slope, stiffness + swing * jnp.sin(7 * t)])


def doses_of_one(first, following, y, theta, fixed):
    return y + jnp.stack([1.0 * (following - first), 0.0])


PROBLEM = Problem(field, doses_of_one, rtol=1e-2, atol=(1e-2, 1e9), max_steps=150)
ROOM = 60
NEVER = 9.0
#: The parameters of each subject; of one no step is tried.
SUBJECTS = {
    "gentle": (0.5, 1.0, NEVER, 0.2, 0.1),
    "fast": (0.5, 90.0, NEVER, 0.2, 0.0),
    "ends early": (0.5, 1.0, 1.31, 0.2, 0.0),
    "at the limit of stability": (0.5, 4.0, NEVER, 1.0, 0.0),
    "just beyond it": (0.5, 4.0, NEVER, 1.1, 0.0),
    "about it, more often within": (0.5, 5.0, NEVER, 0.7, 0.5),
    "about it, more often beyond": (0.5, 5.0, NEVER, 0.95, 0.5),
    "within it at first": (0.5, 5.0, NEVER, 1.05, -0.5),
    "plainly stiff": (47.0, 0.0, NEVER, 0.2, 0.0),
    "plainly stiff, and begins too late": (900.0, 0.0, NEVER, 0.2, 0.0),
}
N = len(SUBJECTS)
INPUTS = Inputs(
    y0=np.tile([2.0, 0.0], (N, 1)),
    theta=np.array(list(SUBJECTS.values())),
    t0=np.array([*(N - 1) * [0.1], 0.2]),
    times=np.tile([0.1, 0.4, 0.7, 0.7, 1.0, 2.5], (N, 1)),
    knots=np.array([[0.0, *4 * [0.1]], *(N - 1) * [[0.1, 0.4, 0.8, 0.8, 1.35]]]),
)
SOLVES = {
    "sizes that follow from errors": (Euler(), INPUTS),
    "no knots": (Euler(), INPUTS._replace(knots=np.zeros((N, 0)))),
    "one knot, fixed sizes": (Euler(0.05, True), INPUTS._replace(knots=INPUTS.knots[:, 3:4])),
}
TOLERANCES = PROBLEM.rtol, jnp.array(PROBLEM.atol)


@partial(jax.jit, static_argnums=0)
def at_start(method, t, y, theta, end):
    """Return a size for the first step, and how stiff the problem plainly is."""
    f = PROBLEM.vector_field(t, theta, ())
    slope = f(t, y)
    arrays = (x[..., None] for x in (t, end, y, slope, theta))
    (stiffness,) = stiffness_at_start(PROBLEM, method, *arrays, ())
    return first_step_size(f, t, y, slope, end - t, method.error_order, *TOLERANCES), stiffness


@partial(jax.jit, static_argnums=0)
def attempt(method, t, size, y, first, following, theta, last_log_error):
    """Return the state from which a step begins, the step, and how its error is judged."""
    begin = doses_of_one(first, following, y, theta, ())
    f = PROBLEM.vector_field(t, theta, ())
    step = method.step(f, t, size, begin, f(t, begin))
    norm = error_norm(step.error, y, step.y, *TOLERANCES)
    judgement = step_size_factor(norm, last_log_error, method.error_order)
    return begin, step, jnp.isfinite(norm) & jnp.isfinite(step.y).all(), judgement


def alone(method, y, theta, t, times, knots):
    """Return what is found of one subject, and its accepted steps."""
    states = np.where((times == t)[:, None], y, np.nan)
    if times[0] < t:
        return (states, Status.BEFORE_START, 0, 0, 0.0), []
    h, stiffness = at_start(method, t, y, theta, times[-1])
    if stiffness > 1:
        return (states, Status.STIFF, 0, 0, stiffness), []
    chooses, n_times = method.fixed_size is None, len(times)
    h = float(h) if chooses else method.fixed_size
    first, following, observed = 0, np.sum(knots <= t), np.sum(times <= t)
    steps, rejected, stiffest, count, last_log_error = [], 0, 0.0, 0, 0.0
    while True:
        stops = [times[-1], *knots[following : following + 1]]
        if method.lands_on_observations:
            stops.append(times[observed])
        stop = min(stops)
        lands = h * STRETCH >= stop - t
        size = stop - t if lands else h
        arguments = t, size, y, first, following, theta, last_log_error
        begin, step, known, judgement = jax.device_get(attempt(method, *arguments))
        accepted, factor, last_log_error = judgement if chooses else (known, 1.0, 0.0)
        if accepted:
            steps.append((t, size, y, first, following, observed))
            reached = stop if lands else t + size
            while observed < n_times and times[observed] <= reached:
                states[observed] = begin + (times[observed] - t) / size * (step.y - begin)
                observed += 1
            first, following = following, np.sum(knots <= reached)
            stiffest = max(stiffest, step.stiffness)
            count = count + 2 if step.stiffness > 1 else max(count - 1, 0)
            # That a step was cut short to end where it must says nothing against longer ones.
            h = max(size * factor, h) if lands else size * factor
            t, y = reached, step.y
        else:
            rejected += 1
            h = size * factor
        if observed == n_times:
            status = Status.SUCCESS
        elif not accepted and (not chooses or t + h <= t):
            status = Status.STEP_TOO_SMALL if known else Status.NOT_FINITE
        elif len(steps) + rejected == PROBLEM.max_steps or len(steps) == ROOM:
            status = Status.TOO_MANY_STEPS
        elif count >= STIFF_STEPS:
            status = Status.STIFF
        else:
            continue
        return (states, status, len(steps), rejected, stiffest), steps


@pytest.mark.parametrize("name", slow_except(SOLVES, "sizes that follow from errors"))
def test_subjects_side_by_side_take_the_steps_of_each_alone(name):
    """Until they give up, where stability limits them."""
    method, inputs = SOLVES[name]

    @jax.jit
    def solved(inputs):
        return integrate(PROBLEM, method, inputs, (), recorded_steps=ROOM, stop_if_stiff=True)

    solution, _, record = solved(Inputs(*map(jnp.asarray, inputs)))
    assert len(set(solution.status.tolist())) >= 4
    for i, subject in enumerate(SUBJECTS):
        expected, steps = alone(method, *(x[i] for x in inputs))
        for what, found, wanted in zip(solution._fields, solution, expected, strict=True):
            assert_allclose(found[i], wanted, rtol=1e-9, atol=1e-9, err_msg=f"{what}: {subject}")
        for k, step in enumerate(steps):
            # There is no room for knots where there are none.
            found = [series[k, ..., i] if series.size else 0 for series in record]
            assert_allclose(np.hstack(found), np.hstack(step), rtol=1e-9, err_msg=subject)
