"""The Op: one call for value and gradient, exact for every use PyTensor makes of a gradient."""

import copy

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from pytensor.gradient import DisconnectedInputError, hessian, jacobian
from pytensor.graph.replace import vectorize_graph

from pymc_jaxdist.errors import PrecisionError
from pymc_jaxdist.ops import LogDensity, impossible_evaluations, kernel_calls, log_density
from pymc_jaxdist.ops.log_density import LogDensityPullback
from tests.ops.counting_kernel import (
    CountingNormal,
    counts,
    reference,
    reference_hessian,
)

Y = np.random.default_rng(1).normal(size=(5, 4))
POINT = (0.3, -0.2)


@pytest.fixture
def graph(kernel):
    mu, log_sigma = pt.dscalar("mu"), pt.dscalar("log_sigma")
    return [mu, log_sigma], log_density(kernel, Y, mu, log_sigma, batch_ndim=1)


def nodes_of(function, op_type=LogDensity):
    return [n for n in function.maker.fgraph.toposort() if isinstance(n.op, op_type)]


def counted(function, *arguments):
    """Evaluate a compiled function twice; return what the second evaluation did."""
    function(*arguments)
    jax.effects_barrier()
    counts.clear()
    result = function(*arguments)
    jax.effects_barrier()
    return result, dict(counts)


def test_value_and_gradient_are_one_node_and_one_kernel_call(graph, mode):
    inputs, logp = graph
    total = logp.sum()
    function = pytensor.function(inputs, [total, *pt.grad(total, inputs)], mode=mode)
    (node,) = nodes_of(function)
    assert node.op.wrt == (1, 2)
    result, events = counted(function, *POINT)
    assert events == {"forward": 1, "backward": 1}
    assert_allclose(np.array(result), [x.sum() for x in reference(Y, *POINT)], rtol=1e-13)


def test_value_alone_does_no_gradient_work(graph, mode):
    inputs, logp = graph
    function = pytensor.function(inputs, logp, mode=mode)
    (node,) = nodes_of(function)
    assert node.op.wrt == ()
    result, events = counted(function, *POINT)
    assert events == {"forward": 1}
    assert_allclose(result, reference(Y, *POINT)[0], rtol=1e-13)


def test_one_gradient_computes_no_other(graph, mode):
    inputs, logp = graph
    function = pytensor.function(inputs, pt.grad(logp.sum(), inputs[0]), mode=mode)
    (node,) = nodes_of(function)
    assert node.op.wrt == (1,)
    assert_allclose(function(*POINT), reference(Y, *POINT)[1].sum(), rtol=1e-13)


@pytest.mark.parametrize(
    ("scale", "slope"),
    [
        (lambda total: 3.5 * total, lambda value: 3.5),
        (lambda total: total / 4 + 1.0, lambda value: 0.25),
        (lambda total: pt.exp(0.1 * total), lambda value: 0.1 * np.exp(0.1 * value)),
    ],
    ids=["total_size", "tempering", "nonlinear"],
)
def test_a_scaled_sum_still_costs_one_call(graph, scale, slope):
    inputs, logp = graph
    total = scale(logp.sum())
    function = pytensor.function(inputs, [total, *pt.grad(total, inputs)])
    result, events = counted(function, *POINT)
    assert events == {"forward": 1, "backward": 1}
    value, *gradients = (x.sum() for x in reference(Y, *POINT))
    assert_allclose(result[1:], [slope(value) * g for g in gradients], rtol=1e-12)


def test_weights_that_differ_between_units(graph, mode):
    inputs, logp = graph
    weights = np.arange(5.0)
    function = pytensor.function(inputs, pt.grad((weights * logp).sum(), inputs), mode=mode)
    assert nodes_of(function, LogDensityPullback)
    expected = [(weights * g).sum() for g in reference(Y, *POINT)[1:]]
    assert_allclose(np.array(function(*POINT)), expected, rtol=1e-12)


def test_weights_that_depend_on_the_density(graph):
    inputs, logp = graph
    function = pytensor.function(inputs, pt.grad(pt.logsumexp(logp), inputs))
    value, *gradients = reference(Y, *POINT)
    weights = np.exp(value) / np.exp(value).sum()
    assert_allclose(function(*POINT), [(weights * g).sum() for g in gradients], rtol=1e-12)


def test_gradient_of_each_unit(graph):
    inputs, logp = graph
    function = pytensor.function(inputs, jacobian(logp, inputs))
    assert_allclose(np.array(function(*POINT)), reference(Y, *POINT)[1:], rtol=1e-12)


@pytest.mark.parametrize("weights", [np.ones(5), np.arange(5.0)], ids=["sum", "weighted"])
def test_second_derivatives(kernel, mode, weights):
    x = pt.dvector("x")
    logp = log_density(kernel, Y, x[0], x[1], batch_ndim=1)
    total = logp.sum() if (weights == 1).all() else (weights * logp).sum()
    function = pytensor.function([x], hessian(total, x), mode=mode)
    expected = np.einsum("n,nij->ij", weights, reference_hessian(Y, *POINT))
    assert_allclose(function(np.array(POINT)), expected, rtol=1e-11, atol=1e-11)


def test_third_derivatives_say_that_there_are_none(kernel):
    x = pt.dscalar("x")
    logp = log_density(kernel, Y, x, 0.0, batch_ndim=1).sum()
    second = pt.grad(pt.grad(logp, x), x)
    with pytest.raises(NotImplementedError, match="Third derivatives"):
        pt.grad(second + x**2, x)


def test_one_trace_per_shape(graph, mode):
    inputs, logp = graph
    function = pytensor.function(inputs, [logp, pt.grad(logp.sum(), inputs[0])], mode=mode)
    function(*POINT)
    counts.clear()
    for i in range(1000):
        function(0.001 * i, 0.1)
    assert counts["trace"] == 0


def test_rebuilding_a_graph_reuses_the_compiled_kernel(graph):
    inputs, logp = graph
    pytensor.function(inputs, logp)(*POINT)
    traces = counts["trace"]
    mu, log_sigma = pt.dscalar(), pt.dscalar()
    kernel = CountingNormal(logp.owner.op.kernel.label)
    again = log_density(kernel, Y, mu, log_sigma, batch_ndim=1)
    pytensor.function([mu, log_sigma], again)(*POINT)
    assert counts["trace"] == traces


def test_equal_densities_are_merged(graph, mode):
    (mu, log_sigma), logp = graph
    kernel = CountingNormal(logp.owner.op.kernel.label)
    again = log_density(kernel, Y, mu, log_sigma, batch_ndim=1)
    function = pytensor.function([mu, log_sigma], logp + again, mode=mode)
    assert len(nodes_of(function)) == 1


def test_vectorising_does_not_loop(kernel):
    x = pt.dvector("x")
    logp = log_density(kernel, Y, x[0], x[1], batch_ndim=1)
    batch = pt.dmatrix("batch")
    of_batch = vectorize_graph(logp, {x: batch})
    function = pytensor.function([batch], [of_batch, pt.grad(of_batch.sum(), batch)])
    assert len(nodes_of(function)) == 1
    points = np.array([POINT, (1.0, 0.5), (-1.0, 0.0)])
    value, gradient = function(points)
    for row, point in enumerate(points):
        expected = reference(Y, *point)
        assert_allclose(value[row], expected[0], rtol=1e-12)
        assert_allclose(gradient[row], [g.sum() for g in expected[1:]], rtol=1e-12)


def test_outputs_are_writable(graph):
    _, logp = graph
    node = logp.owner
    storage = [[None] for _ in node.outputs]
    node.op.perform(node, [Y, np.array(0.3), np.array(-0.2)], storage)
    for (output,) in storage:
        output[...] = 0.0


def test_integer_inputs_have_no_gradient(mode):
    x, n = pt.dscalar("x"), pt.lvector("n")
    logp = log_density(power, n, x, batch_ndim=1)
    function = pytensor.function([x, n], [logp, pt.grad(logp.sum(), x)], mode=mode)
    value, gradient = function(2.0, np.array([1, 3]))
    assert_allclose(value, [2.0, 8.0])
    assert_allclose(gradient, 13.0)
    with pytest.raises(DisconnectedInputError):
        pt.grad(logp.sum(), n)


def power(n, x):
    return x**n


def test_failure_is_minus_infinity_with_a_zero_gradient(mode):
    x = pt.dvector("x")
    logp = log_density(logarithm, x, batch_ndim=1)
    function = pytensor.function([x], [logp, pt.grad(logp.sum(), x)], mode=mode)
    value, gradient = function(np.array([-1.0, 0.0, 2.0, np.nan, np.inf]))
    assert_allclose(value, [-np.inf, -np.inf, np.log(2), -np.inf, -np.inf])
    assert_allclose(gradient, [0.0, 0.0, 0.5, 0.0, 0.0])


def test_failures_are_counted():
    x = pt.dvector("x")
    function = pytensor.function([x], log_density(logarithm, x, batch_ndim=1))
    impossible_evaluations(reset=True)
    function(np.array([1.0, 2.0]))
    function(np.array([1.0, -2.0]))
    function(np.array([-1.0, -2.0]))
    assert list(impossible_evaluations(reset=True).values()) == [2]
    assert impossible_evaluations() == {}


def logarithm(x):
    return jax.numpy.log(x)


def test_computes_in_double_precision_when_jax_is_set_to_single(graph):
    inputs, logp = graph
    function = pytensor.function(inputs, [logp, pt.grad(logp.sum(), inputs[0])])
    with jax.enable_x64(False):
        value, gradient = function(*POINT)
    assert value.dtype == gradient.dtype == "float64"
    assert_allclose(value, reference(Y, *POINT)[0], rtol=1e-14)


def test_refuses_single_precision_in_jax_mode(graph):
    inputs, logp = graph
    with jax.enable_x64(False), pytest.raises(PrecisionError, match="jax_enable_x64"):
        pytensor.function(inputs, logp, mode="JAX")(*POINT)


def test_single_precision_inputs_are_computed_in_double():
    x = pt.fvector("x")
    logp = log_density(logarithm, x, batch_ndim=1)
    assert logp.dtype == "float64"


@pytest.mark.parametrize(
    "round_trip",
    [copy.deepcopy, lambda op: cloudpickle.loads(cloudpickle.dumps(op))],
    ids=["deepcopy", "cloudpickle"],
)
def test_a_copied_op_is_equal_and_gives_the_same_density(graph, round_trip):
    inputs, logp = graph
    op = logp.owner.op
    logp.eval(dict(zip(inputs, POINT, strict=True)))  # so that there is something compiled
    copied = round_trip(op)
    assert copied == op
    assert hash(copied) == hash(op)
    assert len(cloudpickle.dumps(op)) < 2000
    value = copied(Y, *inputs).eval(dict(zip(inputs, POINT, strict=True)))
    assert_allclose(value, reference(Y, *POINT)[0], rtol=1e-14)


def test_compiled_functions_do_not_accumulate_for_equal_kernels():
    before = kernel_calls.value_gradients_and_count.cache_info().currsize
    for _ in range(20):
        x = pt.dvector("x")
        log_density(logarithm, x, batch_ndim=1).eval({x: np.ones(2)})
    assert kernel_calls.value_gradients_and_count.cache_info().currsize <= before + 1


def saturating(y, weight):
    return -((y - jnp.tanh(weight * y)) ** 2)


def test_the_gradient_at_an_infinite_weight_is_zero_and_not_nan():
    """The density is finite where the weight is infinite, and its slope 0 * inf."""
    weight = pt.dscalar("weight")
    logp = log_density(saturating, [1.0, 2.0], weight, batch_ndim=1)
    value, gradient = pytensor.function([weight], [logp, pt.grad(logp.sum(), weight)])(np.inf)
    assert_allclose(value, [0.0, -1.0])
    assert gradient == 0.0


def with_a_mistake(y, x):
    return jnp.where(y > 0, -y * x, jnp.sqrt(x - 2.0))


def test_nan_by_a_mistake_of_the_function_is_not_hidden():
    x = pt.dscalar("x")
    logp = log_density(with_a_mistake, [1.0, 2.0], x, batch_ndim=1)
    value, gradient = pytensor.function([x], [logp, pt.grad(logp.sum(), x)])(1.0)
    assert_allclose(value, [-1.0, -2.0])
    assert np.isnan(gradient)
