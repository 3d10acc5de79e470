"""Gradients of emissions read observations; only what takes long to compute is stored for them."""

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import grad
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer
from pytensor.graph.traversal import ancestors

from pymc_jaxdist.ops.computed_again import ComputeAgain
from pymc_jaxdist.ops.hidden_markov_gradients import HiddenMarkovGradients

SEQUENCES, TIMES, STATES = 2, 3, 2


def stored(log_density):
    """Return the Ops whose results, one for each observation, are read on both sides."""
    observed = pt.constant(np.arange(6.0).reshape(SEQUENCES, TIMES, 1))
    mean, start, matrix = pt.vector(shape=(STATES,)), pt.dvector(), pt.dmatrix()
    evidence = log_density(observed, mean)
    op = HiddenMarkovGradients(
        STATES, own_start=False, own_matrix=False, constant=True, padded=True
    )
    order = pt.constant(np.arange(SEQUENCES))
    lengths = pt.constant(np.full(SEQUENCES, TIMES))
    value, by_evidence, *_ = op(evidence, start, matrix, order, lengths, return_list=True)
    gradient = grad(None, [mean], known_grads={evidence: by_evidence})
    graph = FunctionGraph([mean, start, matrix], [value, *gradient], clone=False)
    MergeOptimizer().rewrite(graph)
    ComputeAgain().rewrite(graph)
    [recursions] = [
        node for node in graph.apply_nodes if isinstance(node.op, HiddenMarkovGradients)
    ]
    before = set(ancestors(recursions.inputs))
    after = [n for n in graph.toposort() if not before.intersection(n.outputs) and n != recursions]
    return {
        str(x.owner.op)
        for node in after
        for x in node.inputs
        if x in before and not isinstance(x, Constant) and x.owner and x.type.shape[0] != 1
    }


def test_distances_are_computed_again():
    assert stored(lambda y, mean: -0.5 * (y - mean) ** 2) == set()


def test_exponentials_are_stored():
    assert stored(lambda y, mean: -pt.exp(y * mean)) == {"Exp"}
