"""Where the hidden states were: probabilities and paths for every posterior draw."""

from typing import Any, Literal

import numpy as np
import pymc as pm
import xarray as xr

from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.kernels import (
    filtered_probs,
    predicted_probs,
    sample_paths,
    smoothed_probs,
    viterbi,
)
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior
from pymc_jaxdist.posterior.histories import paths_of_states, probs_of_states

__all__ = ["decode_states"]

_PROBABILITIES = {
    "smoothed": smoothed_probs,
    "filtered": filtered_probs,
    "predicted": predicted_probs,
}
_PATHS = ("viterbi", "sampled")


def decode_states(
    idata: Any,
    var_name: str,
    kind: Literal["smoothed", "filtered", "predicted", "viterbi", "sampled"] = "smoothed",
    *,
    model: pm.Model | None = None,
    observed: Any = None,
    lengths: Any = None,
    data: dict[str, Any] | None = None,
    random_seed: Any = None,
    progressbar: bool = True,
) -> xr.DataArray:
    r"""Hidden states for every posterior draw: probabilities, or paths.

    For each draw of the parameters :math:`\theta`,

    ==============  =============================================================================
    ``smoothed``    :math:`P(z_t = k \mid y_1, \dots, y_T, \theta)`, given the whole series
    ``filtered``    :math:`P(z_t = k \mid y_1, \dots, y_t, \theta)`, given past and present
    ``predicted``   :math:`P(z_t = k \mid y_1, \dots, y_{t-1}, \theta)`, given the past
    ``viterbi``     :math:`\arg\max_z p(z \mid y, \theta)`, the most probable path
    ``sampled``     :math:`z \sim p(z \mid y, \theta)`, a random path
    ==============  =============================================================================

    Parameters
    ----------
    idata : InferenceData or DataTree
        What ``pm.sample`` returned, with whatever sampler.
    var_name : str
        Name of the `MarginalHMM` or `MarginalHSMM` variable.
    kind : {"smoothed", "filtered", "predicted", "viterbi", "sampled"}
        What to compute.
    model : pm.Model, optional
        The model; by default the one in context.
    observed : array_like ``(..., T)`` or ``(..., T, D)``, optional
        Other sequences to decode than those of the model.
    lengths : array_like of int, optional
        Lengths of those other sequences.
    data : dict of str to array_like, optional
        Other values for ``pm.Data`` variables: covariates of those other sequences.
    random_seed : int, optional
        Of sampled paths.
    progressbar : bool
        Whether to show progress when there is much to do.

    Returns
    -------
    xarray.DataArray
        With the dims and coords of the model. Probabilities ``(chain, draw, ..., T, K)`` named
        ``{var_name}_{kind}_probs``, NaN beyond the length of a ragged sequence; or paths
        ``(chain, draw, ..., T)`` named ``{var_name}_{kind}_path``, -1 there. Viterbi paths carry
        the coordinate ``log_prob``: :math:`\log p(\hat z, y \mid \theta)`.

    Raises
    ------
    ParameterError
        If the variable is no hidden Markov model or the kind is unknown.
    ShapeError
        If other sequences do not fit the parameters.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., section 5.4. CRC Press.

    Examples
    --------
    A posterior of a single draw:

    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> P = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", shape=2)
    ...     y = pmj.MarginalHMM("y", pm.Normal.dist(mu, 1.0), P, observed=[0.1, 4.8, 5.3])
    >>> draws = xr.Dataset({"mu": (("chain", "draw", "mu_dim_0"), [[[0.0, 5.0]]])})
    >>> draws = draws.assign_coords(chain=[0], draw=[0])
    >>> probs = pmj.decode_states({"posterior": draws}, "y", model=model)
    >>> probs.sizes["state"], probs.argmax("state").values.tolist()
    (2, [[[0, 1, 1]]])
    >>> pmj.decode_states({"posterior": draws}, "y", "viterbi", model=model).values.tolist()
    [[[0, 1, 1]]]
    """
    if kind not in (*_PROBABILITIES, *_PATHS):
        raise ParameterError(
            compose_message(
                f"decode_states of '{var_name}'",
                "kind is not known.",
                got=repr(kind),
                expected=" or ".join(repr(k) for k in (*_PROBABILITIES, *_PATHS)),
            )
        )
    found = HiddenMarkovPosterior.find(
        "decode_states",
        idata,
        var_name,
        model,
        observed=observed,
        lengths=lengths,
        data=data,
    )
    if kind in _PROBABILITIES:
        of_chain = found.evaluate(_PROBABILITIES[kind], progressbar=progressbar)
        probs = probs_of_states(found, of_chain)
        return found.array(probs, f"{var_name}_{kind}_probs", [found.state_dim])
    if kind == "sampled":
        seed = np.random.SeedSequence(random_seed)
        of_chain = found.evaluate(sample_paths, progressbar=progressbar, seed=seed)
        paths = paths_of_states(found, of_chain)
        return found.array(paths, f"{var_name}_sampled_path")
    of_chain, log_prob = found.evaluate(viterbi, progressbar=progressbar)
    paths = paths_of_states(found, of_chain)
    of_paths = found.array(log_prob, "log_prob", per_time=False)
    labelled = found.array(paths, f"{var_name}_viterbi_path")
    return labelled.assign_coords(log_prob=(of_paths.dims, of_paths.values))
