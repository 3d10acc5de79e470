"""The same name for the same state in every draw."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from pymc_jaxdist.errors import ParameterError, compose_message

__all__ = ["relabel_states"]


def relabel_states(idata: Any, by: str, *, dims: str | Sequence[str] | None = None) -> Any:
    """Reorder the states of every posterior draw so that a parameter increases.

    The states of a hidden Markov model have no order of their own: chains, and draws of one
    chain, may call the same state by different numbers. Sorting the states of each draw by a
    parameter that tells them apart undoes it. Better still is to sort in the model, with
    ``pm.Normal("mu", ..., transform=pm.distributions.transforms.ordered)``.

    Parameters
    ----------
    idata : InferenceData, DataTree or mapping
        What ``pm.sample`` returned.
    by : str
        The variable to sort by, with the states on its last dimension.
    dims : str or sequence of str, optional
        All dimensions that count states: of rates, of the rows and the columns of a transition
        matrix, ... By default the last dimension of ``by``, which is enough only if the model
        uses the same name everywhere.

    Returns
    -------
    InferenceData, DataTree or mapping
        A copy with another posterior; ``idata`` is left as it is. Decode the states of the copy,
        not of the original.

    Raises
    ------
    ParameterError
        If the variable or a dimension does not exist, or dimensions differ in length.

    References
    ----------
    .. [1] Stephens, M. (2000). Dealing with label switching in mixture models. Journal of the
       Royal Statistical Society B 62(4).

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> draws = xr.Dataset(
    ...     {
    ...         "mu": (("chain", "draw", "state"), [[[5.0, 1.0], [1.0, 5.0]]]),
    ...         "P": (("chain", "draw", "state", "to"), [[[[0.9, 0.1], [0.2, 0.8]]] * 2]),
    ...     }
    ... )
    >>> sorted_draws = pmj.relabel_states({"posterior": draws}, "mu", dims=["state", "to"])
    >>> sorted_draws["posterior"]["mu"].values.tolist()
    [[[1.0, 5.0], [1.0, 5.0]]]
    >>> sorted_draws["posterior"]["P"].values[0, 0].tolist()
    [[0.8, 0.2], [0.1, 0.9]]
    """
    posterior = idata["posterior"]
    posterior = posterior.to_dataset() if isinstance(posterior, xr.DataTree) else posterior
    where = f"relabel_states by '{by}'"
    if by not in posterior:
        raise ParameterError(
            compose_message(
                where,
                "the posterior has no such variable.",
                got=repr(by),
                expected="one of " + ", ".join(map(repr, posterior.data_vars)),
            )
        )
    key = posterior[by]
    state_dim = key.dims[-1]
    every = [state_dim] if dims is None else [dims] if isinstance(dims, str) else list(dims)
    n_states = key.sizes[state_dim]
    for dim in every:
        if posterior.sizes.get(dim) != n_states:
            raise ParameterError(
                compose_message(
                    where,
                    "dims must name dimensions that count the states.",
                    got=f"'{dim}' of length {posterior.sizes.get(dim)}",
                    expected=f"among those of length {n_states}: "
                    + ", ".join(repr(d) for d, n in posterior.sizes.items() if n == n_states),
                )
            )
    if key.ndim > 3:
        raise ParameterError(
            compose_message(
                where,
                "the variable to sort by must have no dimension but the states.",
                got=f"dimensions {key.dims[2:]}",
                suggestion="its mean over the others, as a pm.Deterministic",
            )
        )
    order = np.argsort(key.values, axis=-1, kind="stable")

    def reordered(variable: xr.DataArray) -> xr.DataArray:
        values = variable.values
        for axis, dim in enumerate(variable.dims):
            if dim in every:
                shape = [1] * values.ndim
                shape[:2], shape[axis] = order.shape[:2], n_states
                values = np.take_along_axis(values, order.reshape(shape), axis=axis)
        return variable.copy(data=values)

    return _with_posterior(idata, posterior.map(reordered, keep_attrs=True))


def _with_posterior(idata: Any, posterior: xr.Dataset) -> Any:
    """Return a copy of a set of groups with another posterior."""
    if isinstance(idata, xr.DataTree):
        return idata.assign({"posterior": xr.DataTree(posterior)})
    if isinstance(idata, dict):
        return {**idata, "posterior": posterior}
    copied = idata.copy()
    copied.posterior = posterior
    return copied
