"""Models that were pickled in one process and are used in another.

`pymc.CustomDist` makes a new class for each variable and registers its log-density for that class
at run time. A pickled model carries the class to another process (a cluster worker, a later
session) but not the registration, so that PyMC finds no log-density there. The class therefore
carries the model too, and the log-density is found through it.
"""

from collections.abc import Sequence
from typing import Any

from pymc.distributions.custom import CustomSymbolicDistRV
from pymc.distributions.distribution import _support_point
from pymc.logprob.abstract import _logprob
from pytensor.tensor.variable import TensorVariable

__all__ = ["remember", "remembered"]

_ATTRIBUTE = "_pymc_jaxdist_model"


def remember(rv: TensorVariable, model: Any, n_parameters: int) -> TensorVariable:
    """Let the class of a variable carry what its log-density is made of.

    Parameters
    ----------
    rv : TensorVariable
        What `pymc.CustomDist` returned.
    model : object
        With methods ``logp(value, *parameters)`` and ``support_point(rv, size, *parameters)``.
    n_parameters : int
        Number of parameters.

    Returns
    -------
    TensorVariable
        The same variable.
    """
    setattr(type(rv.owner.op), _ATTRIBUTE, (model, n_parameters))
    return rv


def remembered(rv: TensorVariable) -> Any:
    """Return the model that `remember` attached to the class of a variable, or None."""
    model, _ = getattr(rv.owner.op, _ATTRIBUTE, (None, 0))
    return model


@_logprob.register(CustomSymbolicDistRV)
def _logp_of_unpickled(
    op: CustomSymbolicDistRV,
    values: Sequence[TensorVariable],
    size: Any,
    *inputs: Any,
    **kwargs: Any,
) -> TensorVariable:
    model, n_parameters = getattr(op, _ATTRIBUTE, (None, 0))
    if model is None:
        return _logprob.dispatch(object)(op, values, size, *inputs, **kwargs)
    [value] = values
    return model.logp(value, *inputs[:n_parameters])


@_support_point.register(CustomSymbolicDistRV)
def _support_point_of_unpickled(
    op: CustomSymbolicDistRV, rv: TensorVariable, size: Any, *inputs: Any
) -> TensorVariable:
    model, n_parameters = getattr(op, _ATTRIBUTE, (None, 0))
    if model is None:
        return _support_point.dispatch(object)(op, rv, size, *inputs)
    return model.support_point(rv, size, *inputs[:n_parameters])
