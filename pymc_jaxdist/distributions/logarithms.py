"""Which components of a variable a graph takes the logarithm of."""

from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.scalar.basic import Log, Log2, Log10
from pytensor.tensor.subtensor import Subtensor, indices_from_subtensor
from pytensor.tensor.variable import TensorVariable

__all__ = ["components_under_logarithms"]


def components_under_logarithms(
    graph: TensorVariable, variable: TensorVariable, n_components: int
) -> set[int]:
    """Return the positions along the last dimension of a variable that logarithms depend on.

    Parameters
    ----------
    graph : TensorVariable
        In which to look for logarithms.
    variable : TensorVariable
        On which it depends.
    n_components : int
        Length of its last dimension. Whatever is not a single position of it, as in ``y[..., 1]``,
        counts as all of them.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> y = pt.matrix("y")
    >>> components_under_logarithms(y[:, 0] + pt.log(2 * y[:, -1]), y, 3)
    {2}
    """
    found: set[int] = set()
    for x in ancestors([graph]):
        if x.owner is None or not _is_logarithm(x.owner):
            continue
        for node in {z.owner for z in ancestors([x]) if z.owner is not None}:
            if variable in node.inputs:
                position = _position(node, variable)
                found |= set(range(n_components)) if position is None else {position % n_components}
    return found


def _is_logarithm(node: Apply) -> bool:
    return isinstance(getattr(node.op, "scalar_op", None), Log | Log2 | Log10)


def _position(node: Apply, variable: Variable) -> int | None:
    """Return the position along the last dimension of a variable that is taken, if it is one."""
    if not isinstance(node.op, Subtensor):
        return None
    array, *given = node.inputs
    indices = indices_from_subtensor(given, node.op.idx_list)
    if array is not variable or len(indices) < array.type.ndim:
        return None
    return int(indices[-1].data) if isinstance(indices[-1], Constant) else None
