"""What the missing observations may have been."""

from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from pymc_jaxdist.kernels import sample_paths
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior
from pymc_jaxdist.posterior.histories import paths_of_states
from pymc_jaxdist.posterior.observation_draws import draw_missing

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

    States are drawn as by ``decode_states(kind="sampled")``, :math:`z \sim p(z \mid y, \theta)`,
    and missing observations given the states and everything observed,
    :math:`y^{\text{mis}} \sim p(y^{\text{mis}} \mid y^{\text{obs}}, z, \theta)`. Each draw is one
    complete data set.

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
        If values are missing of an autoregression whose innovations are not normal.

    Notes
    -----
    A vector from a multivariate emission is missing as a whole or not at all.

    A missing value of an `AutoRegressive` emission is tied to the values before *and* after it.
    Given the states and normal innovations they are jointly normal [2]_, and drawn so, exactly. The
    states themselves are those of the model's log-density, which conditions on the p values after a
    gap: how far the series has moved across a gap says nothing of the states within. One of the
    first p values, on which everything is conditioned, has no distribution: it stays NaN, with the
    missing values that depend on it.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., section 2.3.3. CRC Press.
    .. [2] Rue, H., & Held, L. (2005). Gaussian Markov Random Fields: Theory and Applications,
       sections 2.2.4 and 2.4. Chapman & Hall/CRC.

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
    for_paths, for_draws = np.random.SeedSequence(random_seed).spawn(2)
    of_chain = found.evaluate(sample_paths, progressbar=progressbar, seed=for_paths)
    paths = paths_of_states(found, of_chain)
    drawn = draw_missing(found, paths, for_draws, progressbar=progressbar)
    value = found.value.astype(float)
    complete = np.where(np.isnan(value), drawn, value)
    beyond = np.arange(found.n_times) >= found.lengths[..., None]
    complete[:, beyond] = np.nan
    dims = [found.channel_dim] if found.event_ndim else []
    return found.array(complete, var_name, dims)
