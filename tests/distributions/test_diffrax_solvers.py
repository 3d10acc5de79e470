"""Solvers of diffrax in the place of our own: the same solutions, gradients and failures."""

from functools import lru_cache

import diffrax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from pytensor.compile.mode import Mode, get_mode
from scipy.stats import norm

import pymc_jaxdist as pmj
from tests.distributions.compiled import FAST
from tests.reference import differential_equations as reference
from tests.slow_cases import slow_except

SLOW = pytest.mark.slow
MODES = {
    "C": lambda: Mode(linker="cvm", optimizer="fast_run"),
    "Numba": lambda: get_mode("NUMBA"),
    "JAX": lambda: get_mode("JAX"),
}


def predators_and_prey(t, y, p):
    return jnp.stack([y[0] * (p[0] - p[1] * y[1]), y[1] * (p[2] * y[0] - p[3])])


def stiff_reaction(t, y, p):
    """Robertson's, with the second state in units of 1e-4."""
    slow, back, fast = p[0] * y[0], p[1] * 1e-4 * y[1] * y[2], p[2] * 1e-8 * y[1] ** 2
    return jnp.stack([-slow + back, 1e4 * (slow - back - fast), fast])


EQUATIONS = {
    predators_and_prey: {
        "y0": [30.0, 4.0],
        "params": [0.55, 0.028, 0.024, 0.8],
        "times": [0.0, 3.0, 10.0, 3.0, 20.0],
        "own": "tsit5",
    },
    stiff_reaction: {
        "y0": [1.0, 0.0, 0.0],
        "params": [0.04, 1e4, 3e7],
        "times": [0.0, 1e-3, 1.0, 1e3, 10.0],
        "own": "rodas5p",
    },
}


@lru_cache
def solution_and_gradients(field, solver):
    """Return the states, and the gradients of a weighted sum of them, at rtol 1e-9."""
    equation = EQUATIONS[field]
    y0, params = pt.dvectors("y0", "params")
    y = pmj.ode_solution(
        field,
        params=params,
        y0=pt.specify_shape(y0, len(equation["y0"])),
        times=equation["times"],
        rtol=1e-9,
        atol=1e-12,
        max_steps=20_000,
        solver=solver,
    )
    weights = np.random.default_rng(1).normal(size=(len(equation["times"]), len(equation["y0"])))
    gradients = pt.grad((weights * y).sum(), [y0, params])
    run = pytensor.function([y0, params], [y, *gradients], mode=FAST)
    return run(equation["y0"], equation["params"])


@SLOW
@pytest.mark.parametrize(
    ("field", "solver"),
    [
        (predators_and_prey, diffrax.Tsit5()),
        (predators_and_prey, diffrax.Kvaerno3()),
        (stiff_reaction, diffrax.Kvaerno3()),
        (stiff_reaction, diffrax.Kvaerno5()),
    ],
    ids=lambda x: getattr(x, "__name__", type(x).__name__),
)
def test_solutions_and_gradients_are_those_of_our_own_solver(field, solver):
    mine = solution_and_gradients(field, EQUATIONS[field]["own"])
    theirs = solution_and_gradients(field, solver)
    assert_allclose(theirs[0], mine[0], rtol=1e-6, atol=1e-9)
    for one, other in zip(theirs[1:], mine[1:], strict=True):
        assert_allclose(one, other, rtol=1e-5)


DECAYS, BLOWS_UP, IS_NOT_A_NUMBER, TAKES_TOO_LONG = range(4)
SUBJECTS = [DECAYS, BLOWS_UP, DECAYS, IS_NOT_A_NUMBER, TAKES_TOO_LONG]
SOLVED = np.array(SUBJECTS) == DECAYS
RATES = np.array([0.7, 3.0, 1.3, 0.5, 2.0])


def by_subject(t, y, p):
    """What happens to a subject depends on its kind; NaN is in no branch of another's."""
    broken = jnp.log(jnp.where(p["kind"] == 2, -1.0, 1.0))
    return jnp.select(
        [p["kind"] == kind for kind in range(4)],
        [
            -p["rate"] * p["common"] * y,
            p["rate"] * p["common"] * y**2,
            jnp.where(t > 0.5, broken, -p["rate"]) * p["common"] * y,
            1e4 * p["rate"] * p["common"] * jnp.cos(1e6 * t) * y,
        ],
    )


TIMES, OBSERVED, RTOL = np.array([0.25, 1.0]), np.full((5, 2), 0.4), 1e-8
BY_NAME = {"Tsit5": diffrax.Tsit5(), "Kvaerno5": diffrax.Kvaerno5()}


def log_density(solver):
    """Return a log-density and its inputs: rates of subjects, and a factor they have in common."""
    rates, common = pt.dvector("rates"), pt.dscalar("common")
    distribution = pmj.ODEObserved.dist(
        by_subject,
        params={"rate": rates, "common": common, "kind": np.array(SUBJECTS, dtype=float)},
        y0=np.ones((5, 1)),
        times=TIMES,
        observe=0,
        likelihood=lambda y: pm.Normal.dist(y, 0.1),
        solver=solver,
        rtol=RTOL,
        max_steps=200,
        shape=OBSERVED.shape,
    )
    return pm.logp(distribution, OBSERVED), [rates, common]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("solver", slow_except(BY_NAME, "Tsit5"))
def test_a_failure_is_impossible_for_its_subject_alone(solver, mode):
    logp, inputs = log_density(BY_NAME[solver])
    found = np.asarray(pytensor.function(inputs, logp, mode=MODES[mode]())(RATES, 1.0))
    y = np.exp(-RATES[:, None] * TIMES)
    expected, slope = norm(y, 0.1).logpdf(OBSERVED), np.abs(OBSERVED - y).max() / 0.1**2
    assert_allclose(found[SOLVED], expected[SOLVED], rtol=0, atol=slope * 100 * RTOL)
    assert (found[~SOLVED] == -np.inf).all()


def check_gradients(solver, mode):
    logp, inputs = log_density(solver)
    gradients = pytensor.function(inputs, pt.grad(logp.sum(), inputs), mode=mode)
    by_rates, by_common = map(np.asarray, gradients(RATES, 1.0))
    y = np.exp(-RATES[:, None] * TIMES)
    by_exponent = np.where(SOLVED, ((OBSERVED - y) / 0.1**2 * y * -TIMES).sum(axis=1), 0.0)
    assert_allclose(by_rates, by_exponent, rtol=1e-5)
    assert_allclose(by_common, by_exponent @ RATES, rtol=1e-5)


@pytest.mark.parametrize("mode", slow_except(MODES, "JAX"))
def test_a_failure_of_our_own_solver_leaves_gradients_of_other_subjects(mode):
    """The same subjects, for comparison."""
    check_gradients("tsit5", MODES[mode]())


@SLOW
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("solver", BY_NAME)
def test_a_failure_of_a_solver_leaves_gradients_of_other_subjects(solver, mode):
    check_gradients(BY_NAME[solver], MODES[mode]())


N_CELLS = 30


def spreading(t, y, p, xp=jnp):
    """Diffusion and logistic growth on a line, from one end that is kept full."""
    left, right = xp.concatenate([xp.ones(1), y[:-1]]), xp.concatenate([y[1:], y[-1:]])
    return p[0] * N_CELLS**2 * (left - 2 * y + right) + p[1] * y * (1 - y)


@SLOW
def test_a_large_stiff_system_is_solved_as_by_our_own_solver_and_by_scipy():
    """The fastest mode decays 4000 times while the slowest grows."""
    params, times = pt.dvector("params"), np.array([0.05, 0.2, 1.0])
    start, values = np.full(N_CELLS, 0.01), [1.0, 3.0]
    states, gradients = {}, {}
    for solver in (diffrax.Kvaerno5(), "rodas5p"):
        y = pmj.ode_solution(
            spreading, params=params, y0=start, times=times, rtol=1e-8, solver=solver
        )
        run = pytensor.function([params], [y, pt.grad((y**2).sum(), params)], mode=FAST)
        states[solver], gradients[solver] = run(values)
    expected = reference.solve(
        lambda t, y, p: spreading(t, y, p, np), start, values, 0.0, times, "Radau"
    )
    for found in states.values():
        assert_allclose(found, expected, rtol=1e-6)
    theirs, mine = gradients.values()
    assert_allclose(theirs, mine, rtol=1e-6)
