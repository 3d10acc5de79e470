"""What the missing observations may have been."""

from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from pymc_jaxdist.errors import DistributionError, compose_message
from pymc_jaxdist.kernels import sample_paths
from pymc_jaxdist.kernels.autoregression import AutoRegressiveEmission
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior
from pymc_jaxdist.posterior.histories import paths_of_states
from pymc_jaxdist.posterior.observation_draws import draw_observations

__all__ = ["impute"]


def impute(
    idata: Any,
    var_name: str,
    *,
    model: pm.Model | None = None,
    observed: Any = None,
    lengths: Any = None,
    data: dict[str, Any] | None = None,
    random_seed: Any = None,
    progressbar: bool = True,
) -> xr.DataArray:
    r"""Fill in missing observations for every posterior draw.

    States are drawn given everything observed, :math:`z \sim p(z \mid y, \theta)`, and missing
    observations from what their states emit. Each draw is one complete data set.

    Parameters
    ----------
    idata, var_name, model, observed, lengths, data, random_seed, progressbar
        As in `decode_states`.

    Returns
    -------
    xarray.DataArray ``(chain, draw, ..., T)`` or ``(chain, draw, ..., T, D)``
        The observations where there are some, draws where they are missing; NaN beyond the
        length of a ragged sequence.

    Raises
    ------
    DistributionError
        If an emission is autoregressive.

    Notes
    -----
    A vector from a multivariate emission is missing as a whole or not at all.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., section 2.3.3. CRC Press.

    Examples
    --------
    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", shape=2)
    ...     y = pmj.MarginalHMM(
    ...         "y", pm.Normal.dist(mu, 1e-9), np.eye(2), "uniform", observed=[5.0, np.nan]
    ...     )
    >>> draws = xr.Dataset({"mu": (("chain", "draw", "mu_dim_0"), [[[0.0, 5.0]]])})
    >>> idata = {"posterior": draws.assign_coords(chain=[0], draw=[0])}
    >>> pmj.impute(idata, "y", model=model).values.round(3).tolist()
    [[[5.0, 5.0]]]
    """
    found = HiddenMarkovPosterior.find(
        "impute",
        idata,
        var_name,
        model,
        observed=observed,
        lengths=lengths,
        data=data,
    )
    if any(isinstance(e, AutoRegressiveEmission) for e in found.emissions):
        raise DistributionError(
            compose_message(
                found.where,
                "missing values of an autoregression depend on those after them, too.",
                got="an AutoRegressive emission",
                suggestion="forecast(...), for values after the last one",
            )
        )
    for_paths, for_draws = np.random.SeedSequence(random_seed).spawn(2)
    of_chain = found.evaluate(sample_paths, progressbar=progressbar, seed=for_paths)
    paths = paths_of_states(found, of_chain)
    drawn = draw_observations(found, paths, for_draws, progressbar=progressbar)
    value = found.value.astype(float)
    complete = np.where(np.isnan(value), drawn, value)
    beyond = np.arange(found.n_times) >= found.lengths[..., None]
    complete[:, beyond] = np.nan
    dims = [found.channel_dim] if found.event_ndim else []
    return found.array(complete, var_name, dims)
