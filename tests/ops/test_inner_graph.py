"""PyTensor graphs as JAX functions: equal by structure, picklable, with finite derivatives."""

import pickle

import cloudpickle
import jax
import numpy as np
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from pytensor.graph.utils import MissingInputError

from pymc_jaxdist.ops import InnerGraph


def build(constant=2.0, **kwargs):
    x, y = pt.dvector(), pt.dscalar()
    return InnerGraph([x, y], [pt.exp(x * constant) + y, x.sum()], **kwargs)


def test_computes_the_graph():
    x = np.array([0.1, 0.2])
    first, second = build()(x, 3.0)
    assert_allclose(first, np.exp(2 * x) + 3)
    assert_allclose(second, 0.3)


def test_equality_is_that_of_structure():
    assert build() == build()
    assert hash(build()) == hash(build())
    assert build() != build(constant=3.0)
    assert build() != build(finite_derivatives=True)
    x, y = pt.dvector(), pt.dscalar()
    assert InnerGraph([x, y], [x - y]) != InnerGraph([x, y], [x + y])
    assert InnerGraph([x, y], [x - y]) != InnerGraph([y, x], [x - y])


def test_a_constant_of_another_type_makes_another_graph():
    x = pt.dvector()
    single = InnerGraph([x], [x + pt.constant(np.float32(2))])
    assert single != InnerGraph([x], [x + pt.constant(np.float64(2))])


@pytest.mark.parametrize("module", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
def test_pickling(module):
    graph = build()
    graph(np.ones(2), 1.0)
    assert module.loads(module.dumps(graph)) == graph


def test_a_free_variable_is_refused():
    x, y = pt.dvector(), pt.dscalar()
    with pytest.raises(MissingInputError):
        InnerGraph([x], [x + y])


def test_is_first_called_inside_a_trace():
    graph = build()
    expected = 2 * np.exp(2 * np.ones(2))
    gradient = jax.grad(lambda x: graph(x, 1.0)[0].sum())
    assert_allclose(jax.jit(gradient)(np.ones(2)), expected)
    assert_allclose(gradient(np.ones(2)), expected)


class TestFiniteDerivatives:
    """A branch not taken contributes nothing, even where its derivative is infinite."""

    @staticmethod
    def gradient(expression, point, finite):
        x = pt.dvector()
        graph = InnerGraph([x], [expression(x)], finite_derivatives=finite)
        return jax.grad(lambda v: graph(v)[0].sum())(np.asarray(point))

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            (lambda x: pt.switch(x > 0, pt.log(x), x), [1.0, 0.5]),
            (lambda x: pt.switch(x > 0, pt.sqrt(x), 3 * x), [3.0, 0.5 / np.sqrt(2)]),
            (lambda x: pt.switch(x > 0, 1 / x, 0 * x), [0.0, -0.25]),
            (lambda x: pt.switch(x > 0, x * pt.log(x), 0.0), [0.0, 1 + np.log(2)]),
        ],
        ids=["log", "sqrt", "division", "product"],
    )
    def test_a_switch(self, expression, expected):
        point = [0.0, 2.0]
        assert np.isnan(self.gradient(expression, point, finite=False)).any()
        assert_allclose(self.gradient(expression, point, finite=True), expected, rtol=1e-14)

    def test_ordinary_derivatives_are_unchanged(self):
        def expression(x):
            return pt.exp(x) * pt.gammaln(x + 1) / (1 + x**2)

        point = np.array([0.3, 2.0])
        assert_allclose(
            self.gradient(expression, point, finite=True),
            self.gradient(expression, point, finite=False),
            rtol=1e-14,
        )


def test_ranges_over_more_than_an_int8_can_count():
    x = pt.dmatrix()
    graph = InnerGraph([x], [x[pt.arange(x.shape[0]), 0]])
    column = np.arange(300.0)
    np.testing.assert_array_equal(graph(column[:, None])[0], column)
