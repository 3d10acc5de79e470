"""Observed data on their way into a model."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.errors import DataError, compose_message

__all__ = ["as_observations"]


def as_observations(where: str, observed: Any) -> TensorVariable:
    """Return observed data as a tensor in which NaN marks what is missing.

    PyMC would impute NaN and masked entries; as a tensor they reach the distribution, which sums
    them out.

    Parameters
    ----------
    where : str
        The distribution, for error messages.
    observed : array_like, DataFrame, masked array or TensorVariable
        Data.

    Returns
    -------
    TensorVariable
        float64 or int64; a variable is returned as it is.

    Raises
    ------
    DataError
        If the data are not an array of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> as_observations("MarginalHMM", np.ma.masked_equal([1, 2, 9], 9)).data
    array([ 1.,  2., nan])
    """
    if isinstance(observed, Variable):
        return observed
    try:
        return _numbers(observed)
    except (TypeError, ValueError):
        raise DataError(
            compose_message(
                where,
                "observed must be an array of numbers.",
                got=f"{type(observed).__name__}: {observed!r:.60}",
                suggestion="pad sequences of different lengths to (N, T), and give lengths=",
            )
        ) from None


def _numbers(observed: Any) -> TensorVariable:
    if hasattr(observed, "to_numpy"):
        missing = observed.isnull().to_numpy() if hasattr(observed, "isnull") else False
        observed = np.ma.masked_array(observed.to_numpy(), missing)
    if np.ma.isMaskedArray(observed):
        present = ~np.ma.getmaskarray(observed)
        values = np.full(observed.shape, np.nan)
        values[present] = observed.data[present].astype("float64")
    else:
        values = np.asarray(observed)
    if values.dtype.kind in "biu":
        return pt.as_tensor_variable(values.astype("int64"))
    return pt.as_tensor_variable(values.astype("float64"))
