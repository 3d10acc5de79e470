"""Recognising cotangents that are one number repeated."""

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.scalar.basic import Second
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.shape import SpecifyShape

__all__ = ["uniform_cotangent"]


def uniform_cotangent(cotangent: Variable) -> Variable | None:
    """Return the scalar of which a cotangent is a repetition, or None if it cannot be seen.

    Sums, scalings (``total_size``, tempering) and temperatures of a log-density make cotangents
    that are fills, allocations and elementwise arithmetic of scalars; anything else may differ
    between units.

    Parameters
    ----------
    cotangent : Variable
        A tensor of any shape.

    Returns
    -------
    Variable or None
        A 0-d tensor.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> x = pt.dvector("x")
    >>> uniform_cotangent(pt.full_like(x, 2.0)).eval().item()
    2.0
    >>> uniform_cotangent(x) is None
    True
    """
    if all(cotangent.type.broadcastable):
        return cotangent.dimshuffle(())
    if isinstance(cotangent, Constant):
        values = np.asarray(cotangent.data)
        if values.size and (values == values.flat[0]).all():
            return pt.constant(values.flat[0], dtype=cotangent.type.dtype)
        return None
    if cotangent.owner is None:
        return None
    op, inputs = cotangent.owner.op, cotangent.owner.inputs
    if isinstance(op, Alloc | DimShuffle | SpecifyShape):
        return uniform_cotangent(inputs[0])
    if isinstance(op, Elemwise):
        if isinstance(op.scalar_op, Second):
            return uniform_cotangent(inputs[1])
        scalars = [uniform_cotangent(x) for x in inputs]
        if all(s is not None for s in scalars) and len(cotangent.owner.outputs) == 1:
            return Elemwise(op.scalar_op)(*scalars)
    return None
