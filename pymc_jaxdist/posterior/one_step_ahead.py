"""How well each observation was predicted by those before it."""

from contextlib import suppress
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from pymc_jaxdist.distributions.any_emission import AnyEmission
from pymc_jaxdist.distributions.hidden_markov_model import HiddenMarkovModel
from pymc_jaxdist.distributions.model_variable import model_of
from pymc_jaxdist.errors import DistributionError, compose_message
from pymc_jaxdist.kernels import log_predictive_densities, predicted_probs
from pymc_jaxdist.ops.precision import double_precision
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior

__all__ = ["one_step_log_predictive", "pseudo_residuals"]


def one_step_log_predictive(
    idata: Any,
    var_name: str,
    *,
    model: pm.Model | None = None,
    observed: Any = None,
    lengths: Any = None,
    data: dict[str, Any] | None = None,
    progressbar: bool = True,
) -> xr.DataArray:
    r"""Log-density of each observation given those before it, for every posterior draw.

    .. math::

        \log p(y_t \mid y_1, \dots, y_{t-1}, \theta)

    The sum over t is the log-likelihood of the sequence. With draws from the posterior given the
    first part of a series and ``observed`` the whole, the log of the mean over draws is the
    leave-future-out predictive density.

    Parameters
    ----------
    idata, var_name, model, observed, lengths, data, progressbar
        As in `decode_states`.

    Returns
    -------
    xarray.DataArray ``(chain, draw, ..., T)``
        0 where an observation is missing, NaN beyond the length of a ragged sequence.

    References
    ----------
    .. [1] Bürkner, P.-C., Gabry, J., & Vehtari, A. (2020). Approximate leave-future-out
       cross-validation for Bayesian time series models. Journal of Statistical Computation and
       Simulation 90(14).

    Examples
    --------
    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> P = np.array([[0.5, 0.5], [0.5, 0.5]])
    >>> with pm.Model() as model:
    ...     p = pm.Beta("p", 1, 1)
    ...     y = pmj.MarginalHMM("y", pm.Bernoulli.dist(p=[p, p]), P, observed=[1, 0])
    >>> draws = xr.Dataset({"p": (("chain", "draw"), [[0.25]])})
    >>> idata = {"posterior": draws.assign_coords(chain=[0], draw=[0])}
    >>> np.exp(pmj.one_step_log_predictive(idata, "y", model=model)).values.round(3).tolist()
    [[[0.25, 0.75]]]
    """
    found = HiddenMarkovPosterior.find(
        "one_step_log_predictive",
        idata,
        var_name,
        model,
        observed=observed,
        lengths=lengths,
        data=data,
    )
    densities = found.evaluate(log_predictive_densities, progressbar=progressbar)
    return found.array(densities, f"{var_name}_log_predictive")


def pseudo_residuals(
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
    r"""Compute normal pseudo-residuals of one-step-ahead forecasts for every posterior draw.

    .. math::

        r_t = \Phi^{-1}\bigl( P(Y_t \le y_t \mid y_1, \dots, y_{t-1}, \theta) \bigr)

    Independent standard normal if the model is true. For discrete observations the probability
    is drawn uniformly between those of :math:`Y_t < y_t` and :math:`Y_t \le y_t`.

    Parameters
    ----------
    idata, var_name, model, observed, lengths, data, random_seed, progressbar
        As in `decode_states`.

    Returns
    -------
    xarray.DataArray ``(chain, draw, ..., T)``, or ``(chain, draw, ..., T, D)`` for channels
        NaN where an observation is missing and beyond the length of a ragged sequence.

    Raises
    ------
    DistributionError
        If the emission is multivariate or has no cumulative distribution function in PyMC.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., section 6.2. CRC Press.

    Examples
    --------
    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", shape=2)
    ...     y = pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), np.eye(2), [1.0, 0], observed=[1.5])
    >>> draws = xr.Dataset({"mu": (("chain", "draw", "mu_dim_0"), [[[0.0, 5.0]]])})
    >>> idata = {"posterior": draws.assign_coords(chain=[0], draw=[0])}
    >>> pmj.pseudo_residuals(idata, "y", model=model).values.round(3).tolist()
    [[[1.5]]]
    """
    from scipy.special import ndtri

    found = HiddenMarkovPosterior.find(
        "pseudo_residuals",
        idata,
        var_name,
        model,
        observed=observed,
        lengths=lengths,
        data=data,
    )
    predicted = found.evaluate(predicted_probs, progressbar=progressbar)
    uniform = np.random.default_rng(random_seed)
    hmm: HiddenMarkovModel = model_of(found.model.named_vars[var_name])
    remaining = [v for k, v in found.parameters.items() if k.startswith("emission")]
    residuals = []
    for channel, emission in enumerate(hmm.emissions):
        own, remaining = remaining[: emission.n_parameters], remaining[emission.n_parameters :]
        column = found.value if len(hmm.emissions) == 1 else found.value[..., channel]
        missing = np.isnan(column.astype(float))
        stand_in = column[~missing].flat[0] if not missing.all() else 0
        # The NaN tell an autoregression which observations have none before them.
        filled = np.where(missing, stand_in, column) if emission.memoryless else column
        upper = _mixed(_log_cdf(found.where, emission, filled, own), predicted)
        if emission.discrete:
            lower = _mixed(_log_cdf(found.where, emission, filled - 1, own), predicted)
            upper = lower + (upper - lower) * uniform.random(upper.shape)
        upper[..., missing] = np.nan
        # 1 - 1e-17 is 1: the residual of an observation this far out is only known to be large.
        residuals.append(ndtri(np.clip(upper, np.finfo(float).tiny, 1 - np.finfo(float).eps / 2)))
    if len(residuals) == 1:
        return found.array(residuals[0], f"{var_name}_pseudo_residuals")
    stacked = np.stack(residuals, axis=-1)
    return found.array(stacked, f"{var_name}_pseudo_residuals", [found.channel_dim])


def _log_cdf(
    where: str, emission: AnyEmission, value: np.ndarray, draws: list[np.ndarray]
) -> np.ndarray:
    """Evaluate the log-CDF ``(S, ..., T, K)`` of observations under every state and draw."""
    variables = [pt.tensor(dtype=v.dtype, shape=v.shape[1:]) for v in draws]
    graph = None
    if not emission.event_ndim:
        with suppress(NotImplementedError):
            graph = emission.log_cdf(value.ndim, variables)
    if graph is None:
        raise DistributionError(
            compose_message(
                where,
                "the emission has no cumulative distribution function in PyMC.",
                got=str(emission),
                expected="univariate emissions for which pm.logcdf works",
            )
        )
    dtype = np.int64 if emission.discrete else np.float64
    spread = value.astype(dtype)[..., None]
    with double_precision():
        of_draws = jax.jit(jax.vmap(lambda own: graph(spread, *own)[0]))
        if draws:
            return np.asarray(of_draws(tuple(draws)))
        return np.asarray(graph(spread)[0])[None]


def _mixed(log_cdf: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Average a CDF over the predicted probabilities of the states."""
    n_copies = predicted.shape[-1] // log_cdf.shape[-1]
    if n_copies > 1:  # one entry for each state, or for all, and probabilities of histories
        log_cdf = np.tile(log_cdf, n_copies)
    return np.sum(np.exp(log_cdf) * predicted, axis=-1)
