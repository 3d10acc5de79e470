"""`jax_function`: any JAX function in PyTensor graphs, with one forward pass for its gradient."""

import gc
import pickle

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from pytensor.gradient import DisconnectedInputError, hessian
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.replace import clone_replace, vectorize_graph
from scipy.stats import norm

from pymc_jaxdist.errors import FunctionError, PrecisionError
from pymc_jaxdist.ops import JaxFunction, jax_function
from pymc_jaxdist.ops.jax_op import _compiled
from tests.distributions.compiled import FAST
from tests.ops.counting_kernel import count, counts
from tests.slow_cases import slow_except

TIMES = np.linspace(0.1, 1.0, 5)
OBSERVED = np.array([0.9, 0.7, 0.8, 0.4, 0.5])
POINT = (0.4, 0.3)


def decay(params, times, power=1):
    """A curve with a tree of parameters and a static exponent; counts what is done."""
    counts["trace"] += 1
    count("forward")
    return {"level": jnp.exp(-params["rate"] * times**power), "start": params["rate"] + 1}


def nodes_of(function):
    return [n for n in function.maker.fgraph.toposort() if isinstance(n.op, JaxFunction)]


def counted(function, *arguments):
    function(*arguments)
    jax.effects_barrier()
    counts.clear()
    result = function(*arguments)
    jax.effects_barrier()
    return result, dict(counts)


@pytest.fixture(autouse=True)
def no_counts():
    counts.clear()


@pytest.fixture
def regression():
    """Inputs and the log-density of observations around a curve."""
    rate, sigma = pt.dscalar("rate"), pt.dscalar("sigma")
    level = jax_function(decay)({"rate": rate}, TIMES, power=2)["level"]
    return [rate, sigma], pt.sum(-0.5 * ((OBSERVED - level) / sigma) ** 2 - pt.log(sigma))


def regression_reference(rate, sigma):
    level = np.exp(-rate * TIMES**2)
    z = (OBSERVED - level) / sigma
    return [
        np.sum(-0.5 * z**2 - np.log(sigma)),
        np.sum(z / sigma * -(TIMES**2) * level),
        np.sum(z**2 / sigma - 1 / sigma),
    ]


def test_value_and_gradient_are_one_node_and_one_forward_pass(regression, mode):
    inputs, logp = regression
    function = pytensor.function(inputs, [logp, *pt.grad(logp, inputs)], mode=mode)
    assert len(nodes_of(function)) == 1
    result, events = counted(function, *POINT)
    assert events == {"forward": 1}
    assert_allclose(np.array(result), regression_reference(*POINT), rtol=1e-13)


def test_a_scalar_function_with_its_gradient(mode):
    x = pt.dvector("x")
    total = jax_function(sum_of_squares)(x)
    function = pytensor.function([x], [total, pt.grad(3 * total, x)], mode=mode)
    assert len(nodes_of(function)) == 1
    (value, gradient), events = counted(function, TIMES)
    assert events == {"forward": 1}
    assert_allclose(value, (TIMES**2).sum())
    assert_allclose(gradient, 6 * TIMES)


def sum_of_squares(x):
    count("forward")
    return jnp.sum(x**2)


def test_functions_of_functions_are_one_call(mode):
    x = pt.dvector("x")
    first = jax_function(sum_of_squares)(x)
    both = jax_function(cubed)(first) + first
    function = pytensor.function([x], [both, pt.grad(both, x)], mode=mode)
    (value, gradient), events = counted(function, TIMES)
    square = (TIMES**2).sum()
    assert_allclose(value, square**3 + square)
    assert_allclose(gradient, (3 * square**2 + 1) * 2 * TIMES)
    assert events == {"forward": 1, "cubed": 1}
    assert len(nodes_of(function)) == 1


def cubed(x):
    count("cubed")
    return x**3


def test_two_functions_in_one_likelihood(mode):
    x, y = pt.dvector("x"), pt.dscalar("y")
    together = jax_function(sum_of_squares)(x) * jax_function(cubed)(y)
    function = pytensor.function([x, y], [together, *pt.grad(together, [x, y])], mode=mode)
    (value, dx, dy), events = counted(function, TIMES, 2.0)
    square = (TIMES**2).sum()
    assert_allclose(value, square * 8)
    assert_allclose(dx, 2 * TIMES * 8)
    assert_allclose(dy, square * 12)
    assert events == {"forward": 1, "cubed": 1}


def test_what_lies_between_need_not_run_in_jax():
    """A graph that JAX cannot run leaves value and pullback apart, and right."""

    x = pt.dvector("x")
    y = jax_function(jnp.sin)(x)
    gradient = pt.grad((y * pytensor.gradient.disconnected_grad(InNumPy()(y))).sum(), x)
    function = pytensor.function([x], [y, gradient], mode=FAST)
    assert_allclose(function(TIMES)[1], 2 * np.sin(TIMES) * np.cos(TIMES))
    assert len(nodes_of(function)) == 2


class InNumPy(Op):
    """Twice its input, in the C and Numba backends only."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = 2 * inputs[0]


def test_value_alone_computes_no_gradient(regression, mode):
    inputs, logp = regression
    function = pytensor.function(inputs, logp, mode=mode)
    assert_allclose(function(*POINT), regression_reference(*POINT)[0], rtol=1e-13)
    (node,) = nodes_of(function)
    assert len(node.outputs) == 1  # neither the gradient nor the result "start"


def test_one_gradient_computes_no_other(mode):
    x, y = pt.dscalar("x"), pt.dscalar("y")
    product = jax_function(lambda x, y: x * y**2)(x, y)
    function = pytensor.function([x, y], pt.grad(product, x), mode=mode)
    (node,) = nodes_of(function)
    assert len(node.outputs) == 1
    assert_allclose(function(3.0, 2.0), 4.0)


@pytest.mark.parametrize("mode", slow_except(("C", "Numba", "JAX"), "C", "JAX"), indirect=True)
def test_second_derivatives(regression, mode):
    inputs, logp = regression
    point = pt.dvector("point")
    logp = clone_replace(logp, {x: point[i] for i, x in enumerate(inputs)})
    function = pytensor.function([point], hessian(logp, point), mode=mode)
    step = 1e-6
    expected = [
        (
            np.array(regression_reference(*(np.array(POINT) + step * direction))[1:])
            - np.array(regression_reference(*(np.array(POINT) - step * direction))[1:])
        )
        / (2 * step)
        for direction in np.eye(2)
    ]
    assert_allclose(function(np.array(POINT)), expected, rtol=1e-7)


def test_third_derivative(mode):
    x = pt.dscalar("x")
    y = jax_function(jnp.sin)(x)
    for _ in range(3):
        y = pt.grad(y, x)
    assert_allclose(pytensor.function([x], y, mode=mode)(0.3), -np.cos(0.3))


def test_forward_derivative(mode):
    x, v = pt.dvector("x"), pt.dvector("v")
    y = jax_function(lambda x: (jnp.outer(x, x), jnp.arange(3)))(x)[0]
    node = y.owner
    (tangent, of_integers) = node.op.pushforward(node.inputs, node.outputs, [v])
    assert not hasattr(of_integers.type, "dtype")
    direct = pytensor.function([x, v], tangent, mode=mode)
    t = np.cos(TIMES)
    expected = np.outer(TIMES, t) + np.outer(t, TIMES)
    assert_allclose(direct(TIMES, t), expected)
    assert_allclose(pytensor.function([x, v], node.op.R_op([x], [v])[0])(TIMES, t), expected)
    assert node.op.R_op([x], [None]) == [None, None]


class TestTypesAndShapes:
    def test_known_shapes_stay_known(self):
        y = jax_function(decay)({"rate": pt.dscalar()}, TIMES)
        assert y["level"].type.shape == (5,)
        assert y["start"].type.shape == ()

    def test_unknown_lengths_are_followed(self):
        x, a = pt.dmatrix("x"), pt.tensor("a", shape=(3,))
        y, z, total = jax_function(lambda x, a: (x[:, :1] * a, jnp.concatenate([x, x]), a.sum()))(
            x, a
        )
        assert y.type.shape == (None, 3)
        assert z.type.shape == (None, None)
        assert total.type.shape == ()
        lengths = [*y.shape, z.shape[1]]
        shapes = pytensor.function([x, a], lengths, on_unused_input="ignore", mode=FAST)
        assert not nodes_of(shapes)  # they are known without calling the function
        assert [int(n) for n in shapes(np.ones((4, 2)), np.ones(3))] == [4, 3, 2]
        doubled = pytensor.function([x, a], z.shape, on_unused_input="ignore", mode=FAST)
        assert doubled(np.ones((4, 2)), np.ones(3)).tolist() == [8, 2]

    def test_lengths_that_must_be_equal(self, mode):
        x, y = pt.dvector("x"), pt.dvector("y")
        total = jax_function(lambda x, y: x + y)(x, y)
        assert total.type.shape == (None,)
        function = pytensor.function([x, y], [total, pt.grad(total.sum(), x)], mode=mode)
        assert_allclose(function(TIMES, TIMES)[0], 2 * TIMES)
        assert function(np.ones(2), np.ones(2))[1].shape == (2,)

    @pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "bool"])
    def test_types_are_kept(self, dtype):
        x = pt.vector("x", dtype=dtype)
        y = jax_function(lambda x: x[::-1])(x)
        assert y.type.dtype == dtype
        assert y.eval({x: np.ones(3, dtype)}).dtype == dtype

    def test_single_precision_has_a_gradient_in_single_precision(self, mode):
        x = pt.fvector("x")
        gradient = pt.grad(jax_function(lambda x: jnp.sum(x**2))(x), x)
        assert gradient.type.dtype == "float32"
        result = pytensor.function([x], gradient, mode=mode)(np.ones(2, "float32"))
        assert_allclose(result, 2.0)
        assert result.dtype == "float32"

    def test_double_precision_whatever_jax_is_set_to(self):
        x = pt.dscalar("x")
        function = pytensor.function([x], jax_function(lambda x: x / 3)(x))
        with jax.enable_x64(False):
            assert_allclose(function(1.0), 1 / 3, rtol=1e-15)

    def test_refuses_to_become_single_precision_in_jax_mode(self):
        x = pt.dscalar("x")
        with jax.enable_x64(False), pytest.raises(PrecisionError):
            pytensor.function([x], jax_function(lambda x: x / 3)(x), mode="JAX")(1.0)

    def test_integers_are_inputs_without_a_gradient(self, mode):
        x, n = pt.dscalar("x"), pt.lvector("n")
        y = jax_function(lambda x, n: x**n)(x, n).sum()
        function = pytensor.function([x, n], [y, pt.grad(y, x)], mode=mode)
        assert_allclose(function(2.0, np.array([1, 3])), [10.0, 13.0])
        with pytest.raises(DisconnectedInputError):
            pt.grad(y, n)

    def test_outputs_are_writable(self):
        y = jax_function(lambda x: (x, 2 * x))(pt.dvector("x"))[0]
        storage = [[None], [None]]
        y.owner.op.perform(y.owner, [TIMES], storage)
        storage[0][0][...] = 0


class TestArguments:
    def test_numbers_are_static(self):
        x = pt.dvector("x")
        rolled, axis = jax_function(lambda x, shift, axis: (jnp.roll(x, shift, axis), axis))(
            x, 2, axis=0
        )
        assert_allclose(rolled.eval({x: TIMES}), np.roll(TIMES, 2))
        assert axis.eval({x: TIMES}) == 0

    def test_what_is_no_array_comes_back_as_it_is(self):
        result = jax_function(lambda x: {"x": x, "name": "decay", "nothing": None})(pt.dscalar())
        assert result["name"] == "decay"
        assert result["nothing"] is None

    def test_an_equinox_module_with_variables_as_weights(self):
        eqx = pytest.importorskip("equinox")
        module = eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0))
        bias = pt.dvector("bias")
        changed = eqx.tree_at(lambda m: m.layers[0].bias, module, bias)
        out = jax_function(lambda m, x: m(x))(changed, np.ones(2))
        expected = eqx.tree_at(lambda m: m.layers[0].bias, module, jnp.arange(3.0))
        assert_allclose(out.eval({bias: np.arange(3.0)}), expected(jnp.ones(2)), rtol=1e-6)

    def test_without_any_variable(self):
        assert_allclose(jax_function(jnp.exp)(np.array([0.0, 1.0])).eval(), [1.0, np.e])

    def test_batched_inputs(self):
        rate = pt.dscalar("rate")
        level = jax_function(decay)({"rate": rate}, TIMES)["level"]
        rates = pt.dmatrix("rates")
        batched = vectorize_graph(level, {rate: rates})
        values = np.array([[0.1, 0.2, 0.3]])
        function = pytensor.function([rates], batched)
        assert_allclose(function(values), np.exp(-values[..., None] * TIMES))
        assert len(nodes_of(function)) == 1


class TestInModels:
    def test_data_of_another_shape(self, mode):
        with pm.Model() as model:
            times = pm.Data("times", TIMES)
            rate = pm.Normal("rate")
            level = jax_function(decay)({"rate": rate}, times)["level"]
            pm.Normal("y", level, 0.5, observed=pm.Data("data", OBSERVED))
        logp, gradient = (
            model.compile_fn(g, mode=mode) for g in (model.logp(model["y"]), model.dlogp())
        )

        def check(times, observed):
            error = observed - np.exp(-0.4 * times)
            assert_allclose(logp({"rate": 0.4}), norm(0, 0.5).logpdf(error).sum())
            slope = np.sum(error / 0.25 * -times * np.exp(-0.4 * times)) - 0.4
            assert_allclose(gradient({"rate": 0.4}), [slope])

        check(TIMES, OBSERVED)
        with model:
            pm.set_data({"times": TIMES[:3], "data": OBSERVED[1:4]})
        check(TIMES[:3], OBSERVED[1:4])

    def test_static_keywords_are_not_data(self):
        rate = pt.dscalar("rate")
        for power in (1, 2):
            level = jax_function(decay)({"rate": rate}, TIMES, power=power)["level"]
            assert_allclose(level.eval({rate: 0.4}), np.exp(-0.4 * TIMES**power))


class TestCompilingOnce:
    def test_for_each_shape(self, regression, mode):
        inputs, logp = regression
        function = pytensor.function(inputs, [logp, *pt.grad(logp, inputs)], mode=mode)
        function(*POINT)
        counts.clear()
        for i in range(1000):
            function(0.1 + 0.001 * i, 0.2)
        assert counts["trace"] == 0

    @staticmethod
    def build(scale):
        """A new function at every call, with the same code."""

        def scaled(x):
            counts["trace"] += 1
            return scale * x

        x = pt.dvector("x")
        return jax_function(scaled)(x).eval({x: TIMES})

    def test_also_when_the_function_is_defined_again(self):
        assert_allclose(self.build(2.0), 2 * TIMES)
        counts.clear()
        assert_allclose(self.build(2.0), 2 * TIMES)
        assert counts["trace"] == 0

    def test_but_not_when_it_has_changed(self):
        self.build(2.0)
        assert_allclose(self.build(3.0), 3 * TIMES)
        assert_allclose(self.build(np.arange(5.0)), np.arange(5.0) * TIMES)

    def test_compiled_functions_do_not_accumulate(self):
        def build():
            x = pt.dvector("x")
            return jax_function(lambda x: 2.5 * x)(x).eval({x: TIMES})

        build()
        before = _compiled.cache_info().currsize
        for _ in range(10):
            build()
        assert _compiled.cache_info().currsize == before


class TestPickling:
    @pytest.mark.parametrize("module", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
    def test_a_closure(self, module):
        scale = np.array(3.0)
        x = pt.dscalar("x")
        op = jax_function(lambda x: scale * x)(x).owner.op
        copied = module.loads(module.dumps(op))
        assert copied == op
        assert hash(copied) == hash(op)
        assert copied(x).eval({x: 2.0}) == 6.0

    def test_a_fused_graph(self, regression):
        inputs, logp = regression
        function = pytensor.function(inputs, [logp, *pt.grad(logp, inputs)], mode=FAST)
        (node,) = nodes_of(function)
        copied = cloudpickle.loads(cloudpickle.dumps(node.op))
        assert copied == node.op

    def test_a_wrapped_function(self):
        wrapped = pickle.loads(pickle.dumps(jax_function(decay)))
        assert wrapped.__name__ == "decay"
        assert wrapped({"rate": pt.dscalar()}, TIMES)["level"].type.shape == (5,)

    def test_an_op_does_not_keep_arguments_alive(self):
        rate = pt.dscalar("rate")
        jax_function(decay)({"rate": rate}, TIMES)
        assert not any(isinstance(x, JaxFunction) for x in gc.get_referrers(rate))


class TestErrors:
    def test_numpy_on_traced_arrays(self):
        with pytest.raises(FunctionError, match=r"jax\.numpy") as caught:
            jax_function(np.exp)(pt.dvector())
        assert "float64[?]" in str(caught.value)

    def test_a_condition_on_a_value(self):
        with pytest.raises(FunctionError, match=r"jnp\.where"):
            jax_function(lambda x: x if x > 0 else -x)(pt.dscalar())

    def test_shapes_that_do_not_fit(self):
        with pytest.raises(FunctionError, match=r"float64\[2, 3\], float64\[2\]"):
            jax_function(lambda x, y: x @ y)(np.ones((2, 3)), np.ones(2))

    def test_a_variable_from_outside(self):
        rate = pt.dscalar("rate")
        with pytest.raises(FunctionError, match="rate"):
            jax_function(lambda x: rate * x)(pt.dscalar())

    def test_no_function(self):
        with pytest.raises(FunctionError, match="must be a function"):
            jax_function(3)
