"""Solutions and forward derivatives of random systems that are not linear, against SciPy at 1e-12.

What a solver makes of its tolerance depends on how a system carries errors on. That is read off
the derivatives by the initial state, which are known: an error of one part of all states at the
beginning moves the solution by ``sum_j |dy / dy0_j| |y0_j|``. Solutions must be right to a few
times rtol in units of this and of the states themselves; derivatives in units of the largest of
their kind.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymc_jaxdist.kernels.ode.equation import Equation
from pymc_jaxdist.kernels.ode.layout import Argument, Structure
from pymc_jaxdist.kernels.ode.problem import Status
from tests.kernels.ode.problems import (
    Case,
    driven,
    infection,
    jacobians,
    lotka_volterra,
    numpy_field,
    robertson,
)
from tests.reference import differential_equations as reference

# In units of rtol.
LARGEST_ERROR, LARGEST_ERROR_OF_DERIVATIVES = 10.0, 50.0
ATOL = 1e-4


def van_der_pol(t, y, p, xp=jnp):
    return xp.stack([y[1], p[0] * ((1 - y[0] ** 2) * y[1]) - y[0]])


class Asked(NamedTuple):
    """An equation, when it begins, and how exact the solution is to be."""

    case: Case
    t0: float
    rtol: float


def of_size(low, high):
    return st.floats(np.log10(low), np.log10(high)).map(lambda x: 10**x)


@st.composite
def asked(draw, field, y0, theta, longest, least_rtol=1e-10):
    """Draw initial states and parameters from ranges, and when a solution is observed."""
    t0 = draw(st.sampled_from([0.0, -3.0, draw(st.floats(-10, 10))]))
    fractions = draw(st.lists(st.floats(0, 1), min_size=5, max_size=5))
    fractions = [0.0, *fractions, 1.0, 1.0]
    times = t0 + longest * draw(of_size(0.1, 1.0)) * np.array(draw(st.permutations(fractions)))
    numbers = (np.array([draw(of_size(*each)) for each in ranges]) for ranges in (y0, theta))
    return Asked(Case(field, *numbers, times), t0, draw(of_size(least_rtol, 1e-3)))


@lru_cache
def solver_of(field, solver):
    """Compile solutions and derivatives, for tolerances that may vary; see `Equation`."""

    def run(y0, theta, t0, times, rtol):
        equation = Equation(
            field,
            None,
            Structure(jax.tree.structure(0)),
            tuple(Argument(False, moves) for moves in (True, False, False, True)),
            batch_ndim=0,
            rtol=rtol,
            atol=ATOL * rtol,
            max_steps=20_000,
            solver=solver,
            sensitivity="forward",
        )
        found = equation.trajectory(y0, t0, times, theta)
        return found.states, (found.states, found.solution.status)

    return jax.jit(jax.jacfwd(run, (0, 1), has_aux=True))


def exact(case, t0, method):
    """Solve at increasing times, and put the states in the order of the times."""
    times, back = np.unique(case.times, return_inverse=True)
    f = numpy_field(case)
    before = (case.y0, case.theta, t0)
    states = reference.solve(f, *before, times, method)
    derivatives = reference.derivatives(f, *jacobians(case), *before, times, method)
    return states[back], derivatives[back]


def check(asked, solver, method="DOP853", units=1.0):
    case, t0, rtol = asked
    (by_y0, by_theta), (states, status) = solver_of(case.field, solver)(
        case.y0, case.theta, t0, case.times, rtol
    )
    assert status[0] == Status.SUCCESS
    expected, derivatives = exact(case, t0, method)
    n = len(case.y0)
    carried = np.abs(derivatives[..., :n]) @ (np.abs(case.y0) + ATOL * units)
    scale = np.maximum(carried, np.abs(expected)).max(axis=0)
    error = np.abs(states - expected) / scale
    assert error.max() <= LARGEST_ERROR * rtol
    # Of one part of what the state depends on.
    inputs = np.concatenate([case.y0, case.theta])
    found = np.concatenate([by_y0, by_theta], axis=-1) * inputs
    scale = np.maximum(scale, np.abs(derivatives * inputs).max(axis=(0, 2)))
    error = np.abs(found - derivatives * inputs) / scale[:, None]
    assert error.max() <= LARGEST_ERROR_OF_DERIVATIVES * rtol


@given(
    asked(
        lotka_volterra,
        [(1, 50), (1, 50)],
        [(0.2, 1.0), (0.01, 0.05), (0.01, 0.05), (0.2, 1.0)],
        20.0,
    )
)
def test_predators_and_their_prey(asked):
    check(asked, "tsit5")


@pytest.mark.slow
@given(asked(infection, [(0.5, 1), (1e-4, 0.1), (1e-3, 0.1)], [(0.5, 3.0), (0.1, 1.0)], 20.0))
def test_an_epidemic(asked):
    check(asked, "tsit5")


@pytest.mark.slow
@given(asked(driven, [(0.1, 2.0), (0.1, 2.0)], [(0.5, 20.0), (0.05, 1.0)], 10.0))
def test_a_driven_oscillator(asked):
    check(asked, "tsit5")


# Of SciPy's implicit methods at 1e-12 Radau takes 10 to 40 seconds for one of these, LSODA one or
# two, to within 1e-9 of the other. That is asked a few times, and of tolerances above it.
dear = settings(max_examples=max(1, settings().max_examples // 5))


@pytest.mark.slow
@dear
@given(asked(van_der_pol, [(1.5, 2.5), (0.1, 1.0)], [(1.0, 50.0)], 20.0, 1e-8))
def test_a_relaxation_oscillator(asked):
    check(asked, "auto", "LSODA")


@pytest.mark.slow
@dear
@given(
    asked(
        robertson,
        [(0.5, 1.0), (1e-7, 1e-5), (1e-2, 0.5)],
        [(0.02, 0.1), (3e3, 3e4), (1e7, 1e8)],
        1e3,
        1e-8,
    )
)
def test_a_stiff_reaction(asked):
    check(asked, "rodas5p", "LSODA")
