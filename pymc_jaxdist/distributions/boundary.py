"""Where a graph that a user's function returned borders on the model around it."""

from collections.abc import Sequence

from pytensor.graph.basic import Variable
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.distribution_parameters import is_baked

__all__ = ["boundary"]


def boundary(
    graphs: Sequence[TensorVariable], inputs: Sequence[TensorVariable]
) -> list[TensorVariable]:
    """Find the outermost variables that graphs depend on beside their inputs.

    Whatever can be computed without the inputs is cut off as a whole: a graph ``x * exp(s)`` of
    the input ``x`` borders on ``exp(s)``.

    Parameters
    ----------
    graphs : sequence of TensorVariable
    inputs : sequence of TensorVariable
        What the graphs are functions of.

    Returns
    -------
    list of TensorVariable
        Without constants, in the order in which they occur.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> x, s = pt.dscalars("x", "s")
    >>> scale = pt.exp(s)
    >>> boundary([2 * x * scale], [x]) == [scale]
    True
    """
    depends: dict[Variable, bool] = {}

    def depends_on_inputs(variable: Variable) -> bool:
        if variable not in depends:
            depends[variable] = variable in inputs or (
                variable.owner is not None
                and any(depends_on_inputs(x) for x in variable.owner.inputs)
            )
        return depends[variable]

    found: dict[TensorVariable, None] = {}
    visited: set[Variable] = set(inputs)

    def visit(variable: Variable) -> None:
        if variable in visited:
            return
        visited.add(variable)
        if depends_on_inputs(variable):
            for x in variable.owner.inputs:
                visit(x)
        elif isinstance(variable.type, TensorType) and not is_baked(variable):
            found[variable] = None

    for graph in graphs:
        visit(graph)
    return list(found)
