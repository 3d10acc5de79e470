"""Solutions and their derivatives against SciPy at 1e-12, for every method."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Status
from pymc_jaxdist.kernels.ode.rodas5p import Rodas5P
from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4
from pymc_jaxdist.kernels.ode.solve import first_method_is_vain, solve
from pymc_jaxdist.kernels.ode.tsit5 import Tsit5
from tests.kernels.ode.problems import CASES, inputs, jacobians, numpy_field, problem
from tests.reference import differential_equations as reference

EXPLICIT, STIFF, AUTO = (Tsit5(),), (Rodas5P(),), (Tsit5(), Rodas5P())
LOOPED = (Tsit5(stages_in_a_loop=True),)
RUNS = [
    ("lotka-volterra", EXPLICIT, False),
    ("lotka-volterra", EXPLICIT, True),
    ("driven", EXPLICIT, False),
    ("driven", LOOPED, False),
    ("lotka-volterra", LOOPED, True),
    ("driven", STIFF, True),
    ("oral dose", AUTO, False),
    ("oral dose", (RK4(0.02),), True),
]
SLOW_RUNS = [
    ("six states", STIFF, False),
    ("robertson", AUTO, True),
    ("robertson", STIFF, False),
    ("ten states", STIFF, True),
]


@lru_cache
def truth(name):
    case = CASES[name]
    method = "Radau" if name == "robertson" else "DOP853"
    arguments = (case.y0, case.theta, 0.0, case.times, method)
    f = numpy_field(case)
    return (
        reference.solve(f, *arguments),
        reference.derivatives(f, *jacobians(case), *arguments),
    )


@lru_cache
def weighted(name, methods, reverse):
    """Compile the weighted sum of a solution, its gradient, and how it went."""
    case = CASES[name]

    def total(y0, theta, weights):
        everything = inputs(case)._replace(y0=y0, theta=theta)
        solution = solve(problem(case), methods, everything, (), reverse)
        return jnp.sum(solution.states * weights), solution

    return jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))


@pytest.mark.parametrize(
    ("name", "methods", "reverse"),
    [*RUNS, *(pytest.param(*run, marks=pytest.mark.slow) for run in SLOW_RUNS)],
)
def test_values_and_gradients(name, methods, reverse):
    case = CASES[name]
    states, derivatives = truth(name)
    weights = np.random.default_rng(1).normal(size=states.shape)
    start = inputs(case)
    (_, solution), gradients = weighted(name, methods, reverse)(start.y0, start.theta, weights)
    assert solution.status[0] == Status.SUCCESS
    assert_allclose(solution.states[0], states, rtol=2e-7, atol=2e-7 * np.abs(states).max())
    expected = np.einsum("tn,tnk->k", weights, derivatives)
    assert_allclose(np.concatenate([g[0] for g in gradients]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lotka-volterra"])
def test_forward_and_reverse_differentiate_the_same_steps(name):
    start = inputs(CASES[name])
    weights = np.random.default_rng(2).normal(size=truth(name)[0].shape)
    forward = weighted(name, EXPLICIT, False)(start.y0, start.theta, weights)[1]
    backward = weighted(name, EXPLICIT, True)(start.y0, start.theta, weights)[1]
    for one, other in zip(forward, backward, strict=True):
        assert_allclose(one, other, rtol=1e-11)


def test_an_explicit_method_gives_way_to_a_stiff_one():
    """Where nothing is stiff at first."""

    def ever_faster(t, segment, y, theta, fixed):
        return -theta[0] * t**4 * (y - jnp.sin(t))

    start = Inputs(*(np.array(x) for x in ([[1.0]], [[1e6]], [0.0], [[1.0, 3.0]], [[]])))
    equation = Problem(ever_faster)
    explicit = solve(equation, EXPLICIT, start, (), False, others_follow=True)
    assert explicit.status[0] == Status.STIFF
    assert explicit.accepted[0] > 0
    both, stiff = (solve(equation, methods, start, (), False) for methods in (AUTO, STIFF))
    assert both.stiffness[0] > 1.0
    assert both.accepted[0] == stiff.accepted[0]
    assert_allclose(both.states, stiff.states, rtol=1e-14)


@pytest.mark.slow
def test_what_is_plainly_stiff():
    """It is left to the stiff method at once: decay that needs more than 500 explicit steps."""
    rates = np.array([400.0, 600.0, 1e9, 0.0, -1e9, np.nan])

    def linear(t, segment, y, theta, fixed):
        return -theta[0] * (y - jnp.sin(t))

    n = len(rates)
    times = np.broadcast_to([1.0, 3.0], (n, 2))  # a step of 3 / rate is the longest stable one
    start = Inputs(np.ones((n, 1)), rates[:, None], np.zeros(n), times, np.zeros((n, 0)))
    equation = Problem(linear)
    t0, t_end = start.t0, start.times[:, -1]
    vain = first_method_is_vain(equation, AUTO, t0, t_end, start.y0, start.theta, ())
    assert vain.tolist() == [False, True, True, False, False, False]
    explicit = solve(equation, EXPLICIT, start, (), False, others_follow=True)
    assert (explicit.status[1:3] == Status.STIFF).all()
    assert (explicit.accepted[1:3] == 0).all()
    assert (explicit.accepted[0] > 0) & (explicit.accepted[3] > 0)
    both, stiff = (solve(equation, methods, start, (), False) for methods in (AUTO, STIFF))
    assert_allclose(both.states[1:3], stiff.states[1:3], rtol=1e-14)
    assert (both.stiffness[1:3] > 1.0).all()


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_subjects_side_by_side_and_batches_equal_subjects_alone(reverse):
    case = CASES["oral dose"]
    rng = np.random.default_rng(3)
    theta = case.theta * np.exp(0.5 * rng.normal(size=(6, 2)))
    together = inputs(case, 6)._replace(theta=theta)

    def run(everything):
        def total(theta):
            everything_else = everything._replace(theta=theta)
            states = solve(problem(case), EXPLICIT, everything_else, (), reverse).states
            return jnp.sum(states**2), states

        (_, states), gradient = jax.value_and_grad(total, has_aux=True)(everything.theta)
        return states, gradient

    of_subjects = jax.jit(run)
    found = of_subjects(together)
    # Batches that differ in some of the inputs only.
    alike = inputs(case, 3)
    batches = jax.jit(jax.vmap(lambda own: run(alike._replace(theta=own))))
    in_batches = batches(theta.reshape(2, 3, 2))
    for i in range(6):
        alone, alone_gradient = of_subjects(Inputs(*(x[i : i + 1] for x in together)))
        # Alone, the same operations may round differently. A state that has decayed to less than
        # what the solver is asked for still carries what it was rounded by when it was large.
        rounding = 1e-7 * problem(case).atol
        batch = divmod(i, 3)
        for states in (found[0][i], in_batches[0][batch]):
            assert_allclose(states, alone[0], rtol=1e-12, atol=rounding)
        for gradient in (found[1][i], in_batches[1][batch]):
            assert_allclose(gradient, alone_gradient[0], rtol=1e-10)


def test_hessian_of_a_solution():
    case = CASES["infection"]
    start = inputs(case)

    @partial(jax.jit, static_argnums=1)
    def gradient(theta, reverse):
        def total(theta):
            everything = start._replace(theta=theta[None])
            return jnp.sum(solve(problem(case), EXPLICIT, everything, (), reverse).states[..., 1])

        return jax.grad(total)(theta)

    theta = jnp.asarray(case.theta)
    step = 1e-5
    expected = [
        (gradient(theta + step * e, False) - gradient(theta - step * e, False)) / (2 * step)
        for e in np.eye(2)
    ]
    assert_allclose(jax.jacfwd(lambda x: gradient(x, False))(theta), expected, rtol=1e-4)


FAILURES = {
    "blows up": (lambda t, segment, y, theta, fixed: y**2, Status.STEP_TOO_SMALL),
    "is not a number": (
        lambda t, segment, y, theta, fixed: jnp.where(t > 0.5, jnp.nan, 1.0) * y,
        Status.NOT_FINITE,
    ),
    "starts with nothing": (
        lambda t, segment, y, theta, fixed: y / (y - 1.0),
        Status.NOT_FINITE,
    ),
    "takes too long": (
        lambda t, segment, y, theta, fixed: 1e4 * jnp.cos(1e6 * t) * y,
        Status.TOO_MANY_STEPS,
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("reverse", [False, True])
def test_failure_is_a_status_and_a_zero_gradient(failure, reverse):
    field, expected = FAILURES[failure]

    def total(y0):
        everything = Inputs(
            y0, jnp.zeros((1, 0)), jnp.zeros(1), jnp.array([[0.1, 2.0]]), jnp.zeros((1, 0))
        )
        solution = solve(Problem(field, max_steps=300), EXPLICIT, everything, (), reverse)
        solved = solution.status == Status.SUCCESS
        return jnp.sum(jnp.where(solved[:, None, None], solution.states, 0.0)), solution.status

    (_, status), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(jnp.ones((1, 1)))
    assert status[0] in (expected, Status.TOO_MANY_STEPS)
    assert gradient == 0


def test_derivative_by_the_initial_time_and_the_times():
    """Moving t0 and all times together changes nothing; moving one changes what it should."""
    case = CASES["oral dose"]
    start = inputs(case)

    @jax.jit
    def jacobian(t0, times):
        return jax.jacfwd(
            lambda t0, times: solve(
                problem(case), EXPLICIT, start._replace(t0=t0, times=times), (), False
            ).states[0],
            (0, 1),
        )(t0, times)

    by_t0, by_times = jacobian(start.t0, start.times)
    states = truth("oral dose")[0]
    slopes = np.stack(
        [numpy_field(case)(t, y, case.theta) for t, y in zip(case.times, states, strict=True)]
    )
    assert_allclose(by_t0[..., 0], -slopes, rtol=1e-5, atol=1e-6)
    own = np.stack([by_times[i, :, 0, i] for i in range(len(slopes))])
    assert_allclose(own, slopes, rtol=1e-5, atol=1e-6)
