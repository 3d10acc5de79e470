"""How often the hidden states were visited, left and followed by one another."""

from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from pymc_jaxdist.kernels import pair_probs
from pymc_jaxdist.kernels.transition_counts import (
    expected_times_and_transitions,
    expected_transitions,
)
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior
from pymc_jaxdist.posterior.histories import pairs_of_states, probs_of_states

__all__ = ["pairwise_probs", "state_occupancy", "transition_counts"]


def pairwise_probs(
    idata: Any,
    var_name: str,
    *,
    model: pm.Model | None = None,
    observed: Any = None,
    lengths: Any = None,
    data: dict[str, Any] | None = None,
    progressbar: bool = True,
) -> xr.DataArray:
    r"""Probabilities of pairs of successive states for every posterior draw.

    .. math::

        \xi_t(i, j) = P(z_{t-1} = i, z_t = j \mid y_1, \dots, y_T, \theta)

    Parameters
    ----------
    idata, var_name, model, observed, lengths, data, progressbar
        As in `decode_states`.

    Returns
    -------
    xarray.DataArray ``(chain, draw, ..., T-1, K, K)``
        Named ``{var_name}_pairwise_probs``; the dimension ``{var_name}_step`` counts the
        transition into t = 1, 2, ... Zero beyond the length of a ragged sequence. In a
        `MarginalHSMM` the diagonal says that a stay went on.

    References
    ----------
    .. [1] Rabiner, L. R. (1989). A tutorial on hidden Markov models and selected applications in
       speech recognition. Proceedings of the IEEE 77(2), eq. 37.

    Examples
    --------
    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", shape=2)
    ...     y = pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), np.eye(2), "uniform", observed=[0, 0])
    >>> draws = xr.Dataset({"mu": (("chain", "draw", "mu_dim_0"), [[[0.0, 9.0]]])})
    >>> idata = {"posterior": draws.assign_coords(chain=[0], draw=[0])}
    >>> pmj.pairwise_probs(idata, "y", model=model).values.round(3).tolist()
    [[[[[1.0, 0.0], [0.0, 0.0]]]]]
    """
    found = HiddenMarkovPosterior.find(
        "pairwise_probs", idata, var_name, model, observed=observed, lengths=lengths, data=data
    )
    pairs = pairs_of_states(found, found.evaluate(pair_probs, progressbar=progressbar))
    dims = [f"{var_name}_step", *found.pair_dims]
    coords = {dims[0]: np.arange(1, found.n_times), **found.pair_coords()}
    return found.array(pairs, f"{var_name}_pairwise_probs", dims, coords, per_time=False)


def transition_counts(
    idata: Any,
    var_name: str,
    *,
    model: pm.Model | None = None,
    observed: Any = None,
    lengths: Any = None,
    data: dict[str, Any] | None = None,
    progressbar: bool = True,
) -> xr.DataArray:
    r"""Count transitions between states, in expectation, for every posterior draw.

    .. math::

        \mathrm{E}[n_{ij} \mid y, \theta] = \sum_{t=2}^{T} P(z_{t-1} = i, z_t = j \mid y, \theta)

    Parameters
    ----------
    idata, var_name, model, observed, lengths, data, progressbar
        As in `decode_states`.

    Returns
    -------
    xarray.DataArray ``(chain, draw, ..., K, K)``
        One matrix per sequence, from row to column, named ``{var_name}_transition_counts``. Off
        the diagonal are the changes of state; in a `MarginalHSMM` the diagonal counts the times
        at which a stay went on.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., section 4.2. CRC Press.
    .. [2] Guédon, Y. (2003). Estimating hidden semi-Markov chains from discrete sequences.
       Journal of Computational and Graphical Statistics 12(3).

    Examples
    --------
    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> P = np.array([[0.5, 0.5], [0.5, 0.5]])
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", shape=2)
    ...     y = pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), P, observed=[0.0, 0.0, 9.0, 0.0])
    >>> draws = xr.Dataset({"mu": (("chain", "draw", "mu_dim_0"), [[[0.0, 9.0]]])})
    >>> idata = {"posterior": draws.assign_coords(chain=[0], draw=[0])}
    >>> pmj.transition_counts(idata, "y", model=model).values.round(3).tolist()
    [[[[1.0, 1.0], [1.0, 0.0]]]]
    """
    found = HiddenMarkovPosterior.find(
        "transition_counts", idata, var_name, model, observed=observed, lengths=lengths, data=data
    )
    of_chain = found.evaluate(expected_transitions, progressbar=progressbar)
    counts = pairs_of_states(found, of_chain)
    return found.array(
        counts,
        f"{var_name}_transition_counts",
        found.pair_dims,
        found.pair_coords(),
        per_time=False,
    )


def state_occupancy(
    idata: Any,
    var_name: str,
    *,
    model: pm.Model | None = None,
    observed: Any = None,
    lengths: Any = None,
    data: dict[str, Any] | None = None,
    progressbar: bool = True,
) -> xr.Dataset:
    r"""Time spent in each state and length of stays for every posterior draw.

    Parameters
    ----------
    idata, var_name, model, observed, lengths, data, progressbar
        As in `decode_states`.

    Returns
    -------
    xarray.Dataset of ``(chain, draw, ..., K)``
        ``fraction``: expected share of the times spent in each state, the sequence given.
        ``stays``: expected number of stays, :math:`\sum_t P(z_t = k, z_{t-1} \ne k \mid y)`.
        ``mean_duration``: expected times in a state divided by expected stays, in times; NaN
        where a state is never visited. The last stay counts as far as it was seen.

    Examples
    --------
    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> P = np.array([[0.5, 0.5], [0.5, 0.5]])
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", shape=2)
    ...     y = pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), P, observed=[0.0, 0.0, 9.0, 0.0])
    >>> draws = xr.Dataset({"mu": (("chain", "draw", "mu_dim_0"), [[[0.0, 9.0]]])})
    >>> idata = {"posterior": draws.assign_coords(chain=[0], draw=[0])}
    >>> occupancy = pmj.state_occupancy(idata, "y", model=model)
    >>> occupancy["fraction"].values.round(3).tolist(), occupancy["stays"].values.round(3).tolist()
    ([[[0.75, 0.25]]], [[[2.0, 1.0]]])
    """
    found = HiddenMarkovPosterior.find(
        "state_occupancy", idata, var_name, model, observed=observed, lengths=lengths, data=data
    )
    times, pairs = found.evaluate(expected_times_and_transitions, progressbar=progressbar)
    times, pairs = probs_of_states(found, times), pairs_of_states(found, pairs)
    stays = times - np.diagonal(pairs, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = {
            "fraction": times / times.sum(axis=-1, keepdims=True),
            "stays": stays,
            "mean_duration": np.where(stays > 1e-12, times / stays, np.nan),
        }
    return xr.Dataset(
        {
            name: found.array(values, name, [found.state_dim], per_time=False)
            for name, values in parts.items()
        }
    )
