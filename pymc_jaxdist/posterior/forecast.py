"""States and observations after the last one seen."""

from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.kernels import filtered_probs, sample_paths
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior
from pymc_jaxdist.posterior.histories import paths_of_states, probs_of_states
from pymc_jaxdist.posterior.observation_draws import draw_observations

__all__ = ["forecast"]


def forecast(
    idata: Any,
    var_name: str,
    steps: int,
    *,
    model: pm.Model | None = None,
    observed: Any = None,
    lengths: Any = None,
    data: dict[str, Any] | None = None,
    random_seed: Any = None,
    progressbar: bool = True,
) -> xr.Dataset:
    r"""Forecast hidden states and observations for every posterior draw.

    .. math::

        P(z_{T+h} = k \mid y_1, \dots, y_T, \theta)
        = \sum_i P(z_T = i \mid y_1, \dots, y_T, \theta) \, (\Gamma^h)_{ik}

    and observations drawn along random paths :math:`z_{T+1}, z_{T+2}, \dots`, so that each draw
    is a coherent future.

    Parameters
    ----------
    idata, var_name, model, observed, lengths
        As in `decode_states`. Ragged sequences are continued from their own ends.
    steps : int
        How many steps ahead, h = 1, ..., ``steps``.
    data : dict of str to array_like, optional
        Values of ``pm.Data`` covariates over past **and** future: with T observations, the T +
        ``steps`` rows the model would be given if the future had been observed (T + ``steps`` -
        1 where the model takes one row per transition). Needed if emissions or transitions vary
        in time.
    random_seed : int, optional
        Of the draws.
    progressbar : bool
        Whether to show progress when there is much to do.

    Returns
    -------
    xarray.Dataset
        ``state_probs (chain, draw, ..., step, K)``, ``path (chain, draw, ..., step)``, a random
        path of states, and ``{var_name} (chain, draw, ..., step[, D])``, what it emits.

    Raises
    ------
    ParameterError
        If ``steps`` is not a positive integer.
    ShapeError
        If parameters vary in time and ``data`` does not cover past and future.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., section 5.3. CRC Press.

    Examples
    --------
    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> P = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", shape=2)
    ...     y = pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), P, observed=[0.1, 4.8, -50.0])
    >>> draws = xr.Dataset({"mu": (("chain", "draw", "mu_dim_0"), [[[0.0, 5.0]]])})
    >>> idata = {"posterior": draws.assign_coords(chain=[0], draw=[0])}
    >>> future = pmj.forecast(idata, "y", 2, model=model, random_seed=1)
    >>> future["state_probs"].values.round(2).tolist(), dict(future["y"].sizes)
    ([[[[0.9, 0.1], [0.83, 0.17]]]], {'chain': 1, 'draw': 1, 'step': 2})
    """
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise ParameterError(
            compose_message(
                f"forecast of '{var_name}'",
                "steps must be a positive integer.",
                got=repr(steps),
                suggestion="steps=10",
            )
        )
    found = HiddenMarkovPosterior.find(
        "forecast",
        idata,
        var_name,
        model,
        observed=observed,
        lengths=lengths,
        data=data,
    )
    # Unknown observations after the last one: their filtered probabilities are the forecast.
    longer = found.extended(int(steps))
    for_paths, for_draws = np.random.SeedSequence(random_seed).spawn(2)
    of_chain = longer.evaluate(filtered_probs, progressbar=progressbar)
    probs = probs_of_states(found, of_chain)
    of_chain = longer.evaluate(sample_paths, progressbar=progressbar, seed=for_paths)
    paths = paths_of_states(found, of_chain)
    observations = draw_observations(longer, paths, for_draws, progressbar=progressbar)

    at = found.lengths[..., None] + np.arange(steps)
    vector = observations.ndim > paths.ndim
    parts = {
        "state_probs": _take(probs, at, [found.state_dim], longer),
        "path": _take(paths, at, [], longer),
        var_name: _take(observations, at, [found.channel_dim] if vector else [], longer),
    }
    return xr.Dataset(parts)


def _take(
    series: np.ndarray, at: np.ndarray, dims: list[str], found: HiddenMarkovPosterior
) -> xr.DataArray:
    """Take the steps ``at`` of each sequence from an array ``(S, ..., T[, dims])``."""
    index = at.reshape(1, *at.shape, *(1 for _ in dims))
    taken = np.take_along_axis(series, index, axis=at.ndim)
    coords = {"step": np.arange(1, at.shape[-1] + 1)}
    return found.array(taken, "", ["step", *dims], coords, per_time=False)
