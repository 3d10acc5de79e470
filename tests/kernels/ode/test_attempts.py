"""Several methods, one after the other, and the derivatives of what each of them solved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Status
from pymc_jaxdist.kernels.ode.rodas5p import Rodas5P
from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4
from pymc_jaxdist.kernels.ode.solve import EXPLICIT_STEPS, first_method_is_vain, solve
from pymc_jaxdist.kernels.ode.tsit5 import Tsit5

AUTO = (Tsit5(), Rodas5P())
BOTH_WAYS = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def approach(t, segment, y, theta, fixed):
    """Approach a level, the faster the farther."""
    return theta[0] * (theta[1] - y) + fixed


def doses_of_one(first, following, y, theta, fixed):
    return y + (following - first)


EQUATION = Problem(approach, rtol=1e-9, atol=1e-12)
#: The second one decays too fast for an explicit method; the third one takes no step.
SUBJECTS = Inputs(
    y0=np.array([[2.0], [1.0], [3.0]]),
    theta=np.array([[0.7, 0.5], [5e3, 1.5], [0.9, 0.4]]),
    t0=np.array([0.0, 1.0, 2.0]),
    times=np.array([[0.0, 0.5, 3.0], [1.0, 2.5, 4.0], [2.0, 2.0, 2.0]]),
    knots=np.zeros((3, 0)),
)
FEW_STEPS, MANY_STEPS = RK4(0.05), RK4(1.5 / EXPLICIT_STEPS)
#: The two that an explicit method solves, over two units of time each.
GENTLE = Inputs(*(x[::2] for x in SUBJECTS))._replace(
    t0=np.array([0.0, 1.0]), times=np.array([[0.5, 1.0, 2.0], [1.0, 2.0, 3.0]])
)
LIMITED = Problem(approach, max_steps=2 * EXPLICIT_STEPS)
FIXED = np.array([0.3, -0.2, 0.1])
WEIGHTS = np.random.default_rng(0).normal(size=(3, 3, 1))


def exact(inputs, fixed):
    """Return the states ``(N, T, 1)`` of `approach`, with a dose of one at each knot."""
    rate, start = inputs.theta[:, :1], inputs.y0
    level = inputs.theta[:, 1:] + fixed[:, None] / rate
    states = level + (start - level) * jnp.exp(-rate * (inputs.times - inputs.t0[:, None]))
    since = inputs.times[:, :, None] - inputs.knots[:, None, :]
    given = jnp.where(since > 0, jnp.exp(-rate[..., None] * since), 0.0).sum(axis=-1)
    return (states + given)[..., None]


def value_and_gradient(solution, inputs, states=lambda found: found.states):
    """Return a solution and how a weighted sum of its states changes with y0 and theta."""

    def total(y0, theta):
        found = solution(inputs._replace(y0=y0, theta=theta))
        return jnp.sum(WEIGHTS[: len(y0)] * states(found)), found

    differentiated = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
    (_, found), gradient = differentiated(inputs.y0, inputs.theta)
    return found, gradient


def assert_exact(found, gradient, inputs, fixed):
    """Compare states and their gradients with those of `exact`."""
    states, expected = value_and_gradient(lambda x: exact(x, fixed), inputs, lambda found: found)
    assert_allclose(found.states, states, rtol=1e-6)
    for mine, own in zip(gradient, expected, strict=True):
        assert_allclose(mine, own, rtol=1e-5, atol=1e-7)


#: Nothing at the same time as anything else: derivatives before and after that differ.
MOVED = GENTLE._replace(
    times=np.array([[0.5, 1.0, 2.0], [1.4, 2.0, 3.0]]),
    knots=np.array([[0.3, 0.73, 9.0], [1.2, 1.61, 1.77]]),
)


@pytest.mark.parametrize("moved", Inputs._fields)
def test_derivatives_by_one_of_the_inputs_alone(moved):
    equation = Problem(approach, doses_of_one)
    direction = np.random.default_rng(1).normal(size=getattr(MOVED, moved).shape)

    def along(states):
        def of_one(x):
            return states(MOVED._replace(**{moved: x}))

        return jax.jvp(of_one, (getattr(MOVED, moved),), (direction,))[1]

    found = jax.jit(
        lambda: along(lambda x: solve(equation, (FEW_STEPS,), x, FIXED[:2], False).states)
    )()
    assert_allclose(found, along(lambda x: exact(x, FIXED[:2])), rtol=1e-5, atol=1e-6)


@BOTH_WAYS
def test_subjects_that_are_not_active_have_no_solution_and_no_derivative(reverse):
    active = jnp.array([False, True])

    found, gradient = value_and_gradient(
        lambda x: solve(EQUATION, (FEW_STEPS,), x, FIXED[:2], reverse, active=active), GENTLE
    )
    assert np.isnan(found.states[0]).all()
    assert_allclose(found.states[1], exact(GENTLE, FIXED[:2])[1], rtol=1e-6)
    assert not gradient[0][0].any()
    assert not gradient[1][0].any()
    assert gradient[0][1].all()
    assert gradient[1][1].all()


@BOTH_WAYS
def test_a_subject_that_fails_has_no_derivative_beside_one_that_has(reverse):
    """Not even of what came before it failed, nor of the start."""

    def ends(t, segment, y, theta, fixed):
        return jnp.where(t > theta[1], jnp.nan, -theta[0] * y)

    inputs = GENTLE._replace(
        theta=np.array([[0.8, 1.2], [0.8, 9.0]]), times=np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    )

    found, gradient = value_and_gradient(
        lambda x: solve(Problem(ends), (FEW_STEPS,), x, (), reverse), inputs
    )
    known = np.isfinite(found.states[..., 0])
    assert known.tolist() == [[True, True, False], [True, True, True]]
    decay = np.exp(-0.8 * np.arange(3.0))
    weights = WEIGHTS[1, :, 0]
    assert_allclose(found.states[1, :, 0], 3.0 * decay, rtol=1e-6)
    assert_allclose(gradient[0], [[0.0], [weights @ decay]], rtol=1e-6)
    by_rate = weights @ (-3.0 * np.arange(3.0) * decay)
    assert_allclose(gradient[1], [[0.0, 0.0], [by_rate, 0.0]], rtol=1e-6)


def test_a_derivative_that_is_not_finite_counts_as_none():
    def root(t, segment, y, theta, fixed):
        return jnp.sqrt(theta[:1]) - y

    inputs = GENTLE._replace(theta=np.array([[0.0, 1.0], [4.0, 1.0]]))
    _, gradient = value_and_gradient(
        lambda x: solve(Problem(root), (FEW_STEPS,), x, (), False), inputs
    )
    assert gradient[1][0, 0] == 0
    # The derivative by theta of the root, which is approached, is a quarter.
    since = GENTLE.times[1] - 1.0
    expected = WEIGHTS[1, :, 0] @ (1 - np.exp(-since)) / 4
    assert_allclose(gradient[1][1, 0], expected, rtol=1e-6)


@BOTH_WAYS
def test_batches_have_the_solutions_of_each(reverse):
    """Also if what is fixed has more than one axis."""
    thetas = np.stack([GENTLE.theta, GENTLE.theta[::-1] * 1.5])

    def of_batch(theta):
        return value_and_gradient(
            lambda x: solve(EQUATION, (FEW_STEPS,), x, FIXED[:2, None], reverse),
            GENTLE._replace(theta=theta),
        )

    found, gradients = jax.jit(jax.vmap(of_batch))(thetas)
    for i, theta in enumerate(thetas):
        own = jax.tree.map(lambda x, i=i: x[i], (found, gradients))
        assert_exact(*own, GENTLE._replace(theta=theta), FIXED[:2])


@BOTH_WAYS
def test_a_single_step_has_derivatives(reverse):
    brief = GENTLE._replace(times=GENTLE.t0[:, None] + np.array([[0.03], [0.04]]))
    found, gradient = value_and_gradient(
        lambda x: solve(EQUATION, (FEW_STEPS,), x, FIXED[:2], reverse), brief
    )
    assert found.accepted.tolist() == [1, 1]
    assert_exact(found, gradient, brief, FIXED[:2])


def test_what_is_vain_is_that_even_if_no_other_method_is_named():
    start = Inputs(*(np.asarray(x) for x in ([[1.0]], [[2500.0, 0.0]], [0.0], [[1.0]], [[]])))
    arguments = start.t0, start.times[:, -1], start.y0, start.theta, np.zeros(1)
    for methods in AUTO, AUTO[:1]:
        assert_array_equal(first_method_is_vain(EQUATION, methods, *arguments), [True])


@BOTH_WAYS
def test_each_subject_is_solved_by_the_first_method_that_can(reverse):
    found, gradient = value_and_gradient(
        lambda x: solve(EQUATION, AUTO, x, FIXED, reverse), SUBJECTS
    )
    assert found.status.tolist() == [Status.SUCCESS] * 3
    assert (found.stiffness > 1).tolist() == [False, True, False]
    assert found.accepted[2] == 0
    assert_exact(found, gradient, SUBJECTS, FIXED)


@pytest.mark.slow
def test_steps_that_suffice_where_no_method_follows_are_too_many_where_one_does():
    last = solve(LIMITED, [MANY_STEPS], GENTLE, FIXED[:2], False)
    assert last.status.tolist() == [Status.SUCCESS] * 2
    assert (last.accepted > EXPLICIT_STEPS).all()
    first = solve(LIMITED, [MANY_STEPS], GENTLE, FIXED[:2], False, others_follow=True)
    assert first.status.tolist() == [Status.TOO_MANY_STEPS] * 2
    assert first.accepted.tolist() == [EXPLICIT_STEPS] * 2


@pytest.mark.parametrize(
    ("others_follow", "expected"), [(True, Status.STIFF), (False, Status.TOO_MANY_STEPS)]
)
def test_only_a_method_that_others_follow_gives_up_where_stability_limits_it(
    others_follow, expected
):
    found = solve(LIMITED, AUTO[:1], SUBJECTS, FIXED, False, others_follow=others_follow)
    assert found.status.tolist() == [Status.SUCCESS, expected, Status.SUCCESS]


@pytest.mark.parametrize(("method", "reverse"), [(FEW_STEPS, False), (MANY_STEPS, True)])
def test_where_one_method_took_too_many_steps_the_next_one_solves(method, reverse):
    """As if it had been the only one; also if it needs as many steps as there may be at most."""
    found, gradient = value_and_gradient(
        lambda x: solve(LIMITED, [MANY_STEPS, method], x, FIXED[:2], reverse), GENTLE
    )
    alone = solve(LIMITED, [method], GENTLE, FIXED[:2], reverse)
    assert found.status.tolist() == [Status.SUCCESS] * 2
    assert found.accepted.tolist() == alone.accepted.tolist()
    assert_exact(found, gradient, GENTLE, FIXED[:2])
