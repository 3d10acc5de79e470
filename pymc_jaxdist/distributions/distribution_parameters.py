"""What the log-density of an unregistered PyMC distribution depends on."""

from collections.abc import Iterator

import numpy as np
from pymc.distributions.distribution import SymbolicRandomVariable
from pytensor import config
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import graph_inputs, io_toposort
from pytensor.tensor.basic import constant
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

__all__ = [
    "direct_parameters",
    "is_baked",
    "is_random",
    "reached_parameters",
    "substitute",
    "widened_constants",
]

# Larger constants (covariate effects computed outside the model) stay inputs of the kernel:
# baked into the compiled program they would slow its compilation.
LARGEST_BAKED_CONSTANT = 256

WIDER = {
    **dict.fromkeys(("float16", "float32"), "float64"),
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16", "uint32"), "int64"),
}


def is_random(variable: Variable) -> bool:
    """Tell whether a variable is a random draw."""
    return variable.owner is not None and isinstance(
        variable.owner.op, RandomVariable | SymbolicRandomVariable
    )


def direct_parameters(distribution: TensorVariable) -> Iterator[TensorVariable]:
    """Yield the parameters of a distribution and of the distributions it is made of."""
    op = distribution.owner.op
    has_size = isinstance(op, RandomVariable) or op.extended_signature is not None
    size = op.size_param(distribution.owner) if has_size else None
    for variable in distribution.owner.inputs:
        # Variables of a model have names; an unnamed one is a component of a mixture, what is
        # truncated or censored, and the like.
        is_component = (
            is_random(variable) and variable.name is None and isinstance(op, SymbolicRandomVariable)
        )
        if is_component:
            yield from direct_parameters(variable)
        elif variable is not size and isinstance(variable.type, TensorType):
            yield variable


def reached_parameters(log_density: Variable, outside: set[Variable]) -> list[TensorVariable]:
    """Find the outermost variables outside a distribution on which its log-density depends."""
    reached: dict[Variable, None] = {}
    seen: set[Variable] = set()

    def visit(variable: Variable) -> None:
        if variable in seen or isinstance(variable.type, RandomType):
            return
        seen.add(variable)
        if variable in outside:
            if not is_baked(variable):
                reached[variable] = None
        elif variable.owner is not None:
            for x in variable.owner.inputs:
                visit(x)

    visit(log_density)
    return [v for v in reached if isinstance(v.type, TensorType)]


def is_baked(variable: Variable) -> bool:
    """Tell whether a variable is a small constant, which becomes part of the compiled kernel."""
    roots = list(graph_inputs([variable]))
    return all(isinstance(x, Constant) for x in roots) and (
        sum(np.size(x.data) for x in roots) <= LARGEST_BAKED_CONSTANT
    )


def substitute(variable: TensorVariable, replacements: dict[Variable, Variable]) -> TensorVariable:
    """Return a copy of a graph with other variables in the place of some."""
    return clone_replace(variable, replace=replacements, rebuild_strict=False)


def widened_constants(log_density: TensorVariable) -> dict[Variable, Variable]:
    """Return the narrow constants of a graph, and the same in eight bytes.

    PyTensor stores a number such as 1.5 or 2 in as few bytes as hold it, and takes its logarithm
    in single precision, too.
    """
    if config.floatX != "float64":
        return {}
    nodes = io_toposort(list(graph_inputs([log_density])), [log_density])
    # Not of other nodes: shapes and indices are what they are.
    arguments = {v for n in nodes if isinstance(n.op, Elemwise | DimShuffle) for v in n.inputs}
    return {
        v: constant(np.asarray(v.data, dtype=WIDER[v.type.dtype]))
        for v in arguments
        if isinstance(v, Constant) and isinstance(v.type, TensorType) and v.type.dtype in WIDER
    }
