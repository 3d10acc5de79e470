"""`jax_function(derivatives="forward")`: derivatives carried along with the values."""

import pickle

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from pytensor.gradient import hessian
from pytensor.graph.replace import vectorize_graph

from pymc_jaxdist.errors import FunctionError
from pymc_jaxdist.ops import JaxFunction, jax_function
from tests.ops.counting_kernel import count, counts
from tests.slow_cases import slow_except

RATE, START = 0.7, np.array([2.0, 0.5])
TIMES = np.linspace(0.5, 3, 4)


@jax_function(derivatives="forward")
def power(x, n):
    """Return x**n, by a loop of unknown length, and n, which has no derivative."""
    count("forward")

    def multiply(state):
        i, y = state
        return i + 1, y * x

    _, y = jax.lax.while_loop(lambda state: state[0] < n, multiply, (0, jnp.ones_like(x)))
    return {"power": y, "n": n}


def test_gradient_through_a_loop_of_unknown_length(mode):
    x, n = pt.dvector("x"), pt.lscalar("n")
    result = power(x, n)
    function = pytensor.function(
        [x, n], [result["n"], pt.grad(result["power"].sum(), x)], mode=mode
    )
    times, gradient = function(START, 5)
    assert times == 5
    assert_allclose(gradient, 5 * START**4)


def test_value_and_gradient_are_one_call_with_one_forward_pass(mode):
    x = pt.dvector("x")
    y = -0.5 * pt.sum((power(x, pt.constant(3))["power"] - 1.0) ** 2)
    function = pytensor.function([x], [y, pt.grad(y, x)], mode=mode)
    if mode != "JAX":
        nodes = [n for n in function.maker.fgraph.toposort() if isinstance(n.op, JaxFunction)]
        assert len(nodes) == 1
    function(START)
    jax.effects_barrier()
    counts.clear()
    value, gradient = function(START)
    jax.effects_barrier()
    assert counts["forward"] == 1
    assert_allclose(value, -0.5 * np.sum((START**3 - 1) ** 2))
    assert_allclose(gradient, -(START**3 - 1) * 3 * START**2)


@pytest.mark.parametrize("mode", slow_except(("C", "Numba", "JAX"), "C", "JAX"), indirect=True)
def test_higher_and_forward_derivatives(mode):
    x, v = pt.dvector("x"), pt.dvector("v")
    y = power(x, pt.constant(4))["power"]
    (_, tangent) = y.owner.op.pushforward(y.owner.inputs, y.owner.outputs, [v, None])
    function = pytensor.function([x, v], [hessian(y.sum(), x), tangent], mode=mode)
    second, forward = function(START, np.array([1.0, -2.0]))
    assert_allclose(second, np.diag(12 * START**2))
    assert_allclose(forward, 4 * START**3 * [1.0, -2.0])


def test_a_differential_equation_with_diffrax_in_forward_mode(mode):
    """The adjoint method that cannot be differentiated in reverse."""

    def solve(rate, start):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, rate: -rate * y),
            diffrax.Tsit5(),
            0.0,
            3.0,
            0.1,
            start,
            rate,
            saveat=diffrax.SaveAt(ts=TIMES),
            stepsize_controller=diffrax.PIDController(rtol=1e-10, atol=1e-10),
            adjoint=diffrax.ForwardMode(),
        ).ys

    rate, start = pt.dscalar("rate"), pt.dvector("start")
    y = jax_function(solve, derivatives="forward")(rate, start)
    weights = np.arange(8.0).reshape(4, 2)
    gradients = pt.grad((weights * y).sum(), [rate, start])
    by_rate, by_start = pytensor.function([rate, start], gradients, mode=mode)(RATE, START)
    decayed = np.exp(-RATE * TIMES)[:, None]
    assert_allclose(by_start, (weights * decayed).sum(axis=0), rtol=1e-8)
    assert_allclose(by_rate, (-weights * TIMES[:, None] * decayed * START).sum(), rtol=1e-8)


def test_vectorised():
    x = pt.dvector("x")
    y = power(x, pt.constant(3))["power"].sum()
    batch = pt.dmatrix("batch")
    gradient = vectorize_graph(pt.grad(y, x), {x: batch})
    points = np.arange(6.0).reshape(3, 2)
    assert_allclose(gradient.eval({batch: points}), 3 * points**2)


def test_it_is_pickled_with_its_way_of_differentiating():
    restored = pickle.loads(pickle.dumps(jax_function(abs, derivatives="forward")))
    op = restored(pt.dscalar()).owner.op
    assert op == jax_function(abs, derivatives="forward")(pt.dscalar()).owner.op
    assert op != jax_function(abs)(pt.dscalar()).owner.op


def test_another_way_is_refused():
    with pytest.raises(FunctionError, match=r"'reverse' or 'forward'") as caught:
        jax_function(abs, derivatives="backward")
    assert "derivatives='backward'" in str(caught.value)
