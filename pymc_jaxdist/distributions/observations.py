"""Observed data on their way into a model."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

__all__ = ["as_observations"]


def as_observations(observed: Any) -> TensorVariable:
    """Return observed data as a tensor in which NaN marks what is missing.

    PyMC would impute NaN and masked entries; as a tensor they reach the distribution, which sums
    them out.

    Parameters
    ----------
    observed : array_like, DataFrame, masked array or TensorVariable
        Data.

    Returns
    -------
    TensorVariable
        float64 or int64.

    Examples
    --------
    >>> import numpy as np
    >>> as_observations(np.ma.masked_equal([1, 2, 9], 9)).data
    array([ 1.,  2., nan])
    """
    if isinstance(observed, Variable):
        return observed
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
