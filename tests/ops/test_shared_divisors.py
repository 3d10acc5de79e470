"""Quotients by what is shared become products; other quotients stay."""

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.fg import FunctionGraph

from pymc_jaxdist.ops.compat import dfs_rewriter
from pymc_jaxdist.ops.shared_divisors import multiply_by_reciprocals


def operations(output, *inputs):
    graph = FunctionGraph(list(inputs), [output])
    dfs_rewriter(multiply_by_reciprocals).rewrite(graph)
    return {str(node.op) for node in graph.apply_nodes}, graph


def test_a_divisor_that_rows_share_is_inverted_once():
    x, d = pt.dmatrix(), pt.dvector()
    found, graph = operations(x / d, x, d)
    assert "True_div" not in found
    function = pytensor.function(graph.inputs, graph.outputs, mode="FAST_COMPILE")
    given = np.arange(6.0).reshape(3, 2), np.array([3.0, 7.0])
    [quotient] = function(*given)
    np.testing.assert_allclose(quotient, given[0] / given[1], rtol=1e-15)


def test_a_divisor_of_each_number_stays():
    x, d = pt.dmatrix(), pt.dmatrix()
    assert operations(x / d, x, d)[0] == {"True_div"}


def test_a_divisor_of_one_number_stays():
    x, d = pt.dscalar(), pt.dscalar()
    assert operations(x / d, x, d)[0] == {"True_div"}


def test_whole_numbers_are_divided():
    x, d = pt.dmatrix(), pt.lvector()
    assert "True_div" in operations(x / d, x, d)[0]
