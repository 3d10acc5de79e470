"""Random variables that start somewhere else than PyMC would let them.

PyMC's ``initval`` would do, but a model with initial values can be neither copied nor asked for
its pointwise log-likelihood.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.distribution import _support_point
from pytensor.tensor.variable import TensorVariable

__all__ = ["StartedAt", "started_at"]


class StartedAt:
    """What the class of a random variable that starts somewhere else has besides its own."""

    start: np.ndarray

    def __eq__(self, other: object) -> bool:
        equal = super().__eq__(other)
        if equal is not True:
            return equal
        return np.array_equal(self.start, other.start)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return super().__hash__()


# PyMC and PyTensor keep every class for ever: one for each distribution, not for each variable.
@lru_cache(maxsize=128)
def _started(cls: Any) -> Any:
    return type(cls.__name__, (StartedAt, cls), {})


def started_at(rv: TensorVariable, start: np.ndarray) -> TensorVariable:
    """Return an unregistered random variable of the same distribution with a support point.

    Parameters
    ----------
    rv : TensorVariable
        What ``.dist()`` returned.
    start : array
        Where sampling starts.
    """
    node = rv.owner
    kind: Any = type(node.op)
    cls = _started(kind)
    op = cls.__new__(cls)
    op.__dict__.update(node.op.__dict__)
    op.start = np.asarray(start, dtype="float64")
    outputs = op.make_node(*node.inputs).outputs
    started: TensorVariable = outputs[node.outputs.index(rv)]
    return started


@_support_point.register(StartedAt)
def _support_point_of_started(op: Any, rv: TensorVariable, *inputs: Any) -> TensorVariable:
    return pt.constant(op.start.astype(rv.type.dtype))
