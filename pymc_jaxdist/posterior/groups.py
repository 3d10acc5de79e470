"""Results kept beside the posterior they came from."""

from typing import Any

import xarray as xr

from pymc_jaxdist.errors import ParameterError, compose_message

__all__ = ["add_group"]

# Groups that belong to PyMC: what is decoded must not end up among the draws it came from.
OF_PYMC = ("posterior", "sample_stats", "observed_data", "constant_data", "prior")


def add_group(idata: Any, group: str, *results: xr.DataArray | xr.Dataset) -> Any:
    """Store results as a group of an InferenceData or DataTree, to be saved with the draws.

    Parameters
    ----------
    idata : InferenceData, DataTree or dict
        What ``pm.sample`` returned. It is changed.
    group : str
        Name of the group: ``"states"``, ``"forecast"``, ... If it exists, the results are added
        to it, and replace those of the same name.
    *results : xarray.DataArray or xarray.Dataset
        What `decode_states`, `forecast` and the other functions returned.

    Returns
    -------
    InferenceData, DataTree or dict
        The same object.

    Raises
    ------
    ParameterError
        If the group is one of those PyMC makes.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> path = xr.DataArray(np.zeros((1, 2, 3)), dims=("chain", "draw", "day"), name="y_path")
    >>> idata = xr.DataTree.from_dict({"posterior": xr.Dataset()})
    >>> pmj.add_group(idata, "states", path)["states"]["y_path"].sizes["day"]
    3
    """
    if group in OF_PYMC:
        raise ParameterError(
            compose_message(
                "add_group",
                "the group belongs to what was sampled.",
                got=repr(group),
                suggestion="a name of its own, such as 'states'",
            )
        )
    found = idata[group] if group in _names(idata) else xr.Dataset()
    merged = found.to_dataset() if isinstance(found, xr.DataTree) else found.copy()
    for result in results:
        parts = result.to_dataset() if isinstance(result, xr.DataArray) else result
        merged = merged.drop_vars([n for n in parts.data_vars if n in merged]).merge(parts)
    if isinstance(idata, xr.DataTree):
        idata[group] = xr.DataTree(merged)
    elif isinstance(idata, dict) or group in _names(idata):
        idata[group] = merged
    else:
        idata.add_groups({group: merged})
    return idata


def _names(idata: Any) -> list[str]:
    """Return the names of the groups there are."""
    if isinstance(idata, xr.DataTree):
        return list(idata.children)
    return list(idata) if isinstance(idata, dict) else list(idata.groups())
