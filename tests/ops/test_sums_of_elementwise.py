"""Sums are added up as their terms are computed: what NumPy gives, with nothing stored between."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.graph.fg import FunctionGraph

from pymc_jaxdist.ops.sums_of_elementwise import SumAsComputed, SumsOfElementwise

SHAPE = (3, 4, 5)


def rewritten(inputs, outputs):
    graph = FunctionGraph(inputs, outputs, clone=True)
    SumAsComputed().rewrite(graph)
    return graph


def loops(graph):
    return [node for node in graph.toposort() if isinstance(node.op, SumsOfElementwise)]


def evaluated(graph, values, linker):
    function = pytensor.function(
        graph.inputs, graph.outputs, mode=Mode(linker, None), on_unused_input="ignore"
    )
    return function(*values)


def random_values(*shapes):
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("linker", ["numba", "py"])
@pytest.mark.parametrize("known", [True, False], ids=["known lengths", "unknown lengths"])
@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 2), (0, 1, 2), None], ids=str)
def test_sums_are_those_of_numpy(axes, known, linker):
    shape = SHAPE if known else (None, None, None)
    x = pt.tensor("x", shape=shape)
    of_column = pt.tensor("of_column", shape=(1, 1, shape[2]))
    of_all = pt.tensor("of_all", shape=(1, 1, 1))
    graph = rewritten([x, of_column, of_all], [((x - of_column) * of_all).sum(axis=axes)])
    values = random_values(SHAPE, (1, 1, 5), (1, 1, 1))
    (result,) = evaluated(graph, values, linker)
    np.testing.assert_allclose(result, ((values[0] - values[1]) * values[2]).sum(axis=axes))


def test_sums_over_the_same_array_share_a_loop():
    x, y = (pt.tensor(shape=SHAPE) for _ in range(2))
    graph = rewritten([x, y], [(x * y).sum(axis=(0, 1)), pt.exp(x).sum(axis=(0, 1)), y[0]])
    assert len(loops(graph)) == 1
    values = random_values(SHAPE, SHAPE)
    product, exponential, _ = evaluated(graph, values, "numba")
    np.testing.assert_allclose(product, (values[0] * values[1]).sum(axis=(0, 1)))
    np.testing.assert_allclose(exponential, np.exp(values[0]).sum(axis=(0, 1)))


@pytest.mark.parametrize("linker", ["numba", "py"])
def test_a_sum_that_needs_another_has_its_own_loop(linker):
    x = pt.tensor("x", shape=SHAPE)
    total = pt.exp(x).sum(axis=(0, 1), keepdims=True)
    graph = rewritten([x], [(x * total).sum(axis=(0, 1))])
    assert len(loops(graph)) == 2
    (value,) = random_values(SHAPE)
    (result,) = evaluated(graph, [value], linker)
    expected = (value * np.exp(value).sum(axis=(0, 1), keepdims=True)).sum(axis=(0, 1))
    np.testing.assert_allclose(result, expected)


@pytest.mark.parametrize(
    "output",
    [
        lambda x: x.sum(axis=(0, 1)),
        lambda x: pt.exp(x).sum(axis=2),
        lambda x: pt.exp(x).max(axis=0),
        lambda x: (e := pt.exp(x))[0] + e.sum(axis=0),
        lambda x: pt.round(x).astype("int64").sum(axis=0),
    ],
    ids=["nothing computed", "last axis", "no sum", "read elsewhere", "integers"],
)
def test_what_must_be_stored_is_left_alone(output):
    x = pt.tensor("x", shape=SHAPE)
    assert not loops(rewritten([x], [output(x)]))


def test_inputs_of_different_lengths_are_refused():
    x, y = (pt.tensor(shape=(None, None)) for _ in range(2))
    graph = rewritten([x, y], [(x * y).sum(axis=0)])
    with pytest.raises(ValueError, match="different lengths along axis 1"):
        evaluated(graph, random_values((3, 4), (3, 5)), "numba")
