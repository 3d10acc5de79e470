"""From a prepared model to a random variable: what all distributions of the package share."""

from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.shape_utils import convert_dims, shape_from_dims
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.model_variable import ModelDistribution
from pymc_jaxdist.distributions.observations import as_observations

__all__ = ["PreparedModel", "observed_and_shape", "register", "unregistered"]


class _Model(Protocol):
    @property
    def dtype(self) -> str:
        """Of draws and observations."""

    def core_signature(self, n_parameters: int) -> str:
        """Return the dimensions that belong to one draw, those of parameters and of the draw."""


Model = TypeVar("Model", bound=_Model)


class PreparedModel(NamedTuple, Generic[Model]):
    """A model that holds no variable, its parameters in order, and the shape of its variable."""

    model: Model
    parameters: list[TensorVariable]
    shape: tuple[Any, ...] | None


def observed_and_shape(
    where: str, observed: Any, dims: Any, shape: Any
) -> tuple[TensorVariable | None, Any]:
    """Return the observations as a tensor, and the shape of the variable if something tells it.

    Parameters
    ----------
    where : str
        The distribution, for error messages.
    observed, dims, shape
        As the user gave them.
    """
    if observed is not None:
        observed = as_observations(where, observed)
    if shape is None and dims is not None:
        shape = shape_from_dims(convert_dims(dims), pm.modelcontext(None))
    elif shape is None and observed is not None:
        static = enumerate(observed.type.shape)
        shape = tuple(observed.shape[axis] if n is None else n for axis, n in static)
    return observed, shape


def register(
    class_name: str,
    name: str,
    prepared: PreparedModel[Any],
    observed: TensorVariable | None,
    dims: Any,
    arguments: dict[str, Any],
) -> TensorVariable:
    """Make a variable of the model in context.

    Parameters
    ----------
    class_name, name : str
        Of the distribution and of the variable.
    prepared : PreparedModel
    observed : TensorVariable or None
    dims : str or sequence of str, or None
    arguments : dict
        What else the user passed on to PyMC.
    """
    model, parameters, shape = prepared
    return ModelDistribution(
        name,
        *parameters,
        model=model,
        class_name=class_name,
        signature=model.core_signature(len(parameters)),
        shape=shape,
        observed=None if observed is None else _cast(observed, model.dtype),
        dims=convert_dims(dims),
        **arguments,
    )


def unregistered(
    class_name: str, prepared: PreparedModel[Any], arguments: dict[str, Any]
) -> TensorVariable:
    """Make a random variable that belongs to no model."""
    model, parameters, shape = prepared
    return ModelDistribution.dist(
        *parameters,
        model=model,
        class_name=class_name,
        signature=model.core_signature(len(parameters)),
        shape=shape,
        **arguments,
    )


def _cast(observed: TensorVariable, dtype: str) -> TensorVariable:
    """Cast observations to the type of the draws, as PyMC requires; constants stay constants."""
    if observed.type.dtype == dtype:
        return observed
    if isinstance(observed, Constant):
        return pt.constant(observed.data.astype(dtype))
    return pt.cast(observed, dtype)
