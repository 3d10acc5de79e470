"""Where the hidden states were: state probabilities for every posterior draw."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import jax
import numpy as np
import pymc as pm
import pytensor
import xarray as xr
from pytensor.graph.basic import Apply
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType

from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.kernels import filtered_probs, smoothed_probs
from pymc_jaxdist.kernels.hidden_markov_log_likelihood import HiddenMarkovLogLikelihood
from pymc_jaxdist.ops import LogDensity
from pymc_jaxdist.ops.precision import double_precision

__all__ = ["decode_states"]

_PROBABILITIES = {"smoothed": smoothed_probs, "filtered": filtered_probs}


def decode_states(
    idata: Any,
    var_name: str,
    kind: Literal["smoothed", "filtered"] = "smoothed",
    *,
    model: pm.Model | None = None,
) -> xr.DataArray:
    r"""Probabilities of the hidden states for every posterior draw.

    Smoothed probabilities are :math:`P(z_t = k \mid y_1, \dots, y_T, \theta)`, filtered ones
    :math:`P(z_t = k \mid y_1, \dots, y_t, \theta)`, for each draw of :math:`\theta`.

    Parameters
    ----------
    idata : InferenceData or DataTree
        What ``pm.sample`` returned.
    var_name : str
        Name of the `MarginalHMM` variable.
    kind : {"smoothed", "filtered"}
        Given the whole series, or the past and present only.
    model : pm.Model, optional
        The model; by default the one in context.

    Returns
    -------
    xarray.DataArray ``(chain, draw, ..., T, K)``
        Probabilities, named ``{var_name}_{kind}_probs``, with the dims and coords of the model.
        NaN beyond the length of a ragged sequence.

    Raises
    ------
    ParameterError
        If the variable is no hidden Markov model or the kind is unknown.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., section 5.4.1. CRC Press.

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
    """
    where = f"decode_states of '{var_name}'"
    if kind not in _PROBABILITIES:
        raise ParameterError(
            compose_message(
                where,
                "kind is not known.",
                got=repr(kind),
                expected=" or ".join(repr(k) for k in _PROBABILITIES),
            )
        )
    model = pm.modelcontext(model)
    node = _log_density_node(where, model, var_name)
    value = _observations(where, node)
    draws = _parameter_draws(where, node, model, idata["posterior"])
    with double_precision():
        probs = np.asarray(_decoder(node.op.kernel, kind)(value, *draws))
    posterior = idata["posterior"]
    lead = {dim: posterior[dim].values for dim in ("chain", "draw")}
    probs = probs.reshape(*(len(c) for c in lead.values()), *probs.shape[1:])
    dims, coords = _dims_and_coords(model, var_name, node, probs.ndim - 2)
    return xr.DataArray(
        probs,
        dims=("chain", "draw", *dims),
        coords={**lead, **coords},
        name=f"{var_name}_{kind}_probs",
    )


def _log_density_node(where: str, model: pm.Model, var_name: str) -> Apply:
    """Find the log-density of a variable, as a function of the other model variables."""
    rv = model.named_vars.get(var_name)
    value = model.rvs_to_values.get(rv)
    if rv in model.observed_RVs:
        for variable in ancestors([pm.logp(rv, value)]):
            node = variable.owner
            if (
                node is not None
                and isinstance(node.op, LogDensity)
                and isinstance(node.op.kernel, HiddenMarkovLogLikelihood)
            ):
                return node
    raise ParameterError(
        compose_message(
            where,
            "the variable is not an observed MarginalHMM of the model.",
            got=f"'{var_name}'",
            expected="one of " + ", ".join(repr(rv.name) for rv in model.basic_RVs),
        )
    )


def _observations(where: str, node: Apply) -> np.ndarray:
    """Return the observed sequences of a log-density."""
    value = node.inputs[0]
    if any(isinstance(v.type, RandomType) for v in ancestors([value])):
        raise ParameterError(
            compose_message(
                where,
                "the observations are a random choice of sequences.",
                got="observed=pm.Minibatch(...)",
                suggestion="build the model again with observed=y, and pass it as model=",
            )
        )
    return np.asarray(value.eval())


def _parameter_draws(where: str, node: Apply, model: pm.Model, posterior: Any) -> list[np.ndarray]:
    """Evaluate the parameters of a log-density for every draw: arrays ``(S, ...)``."""
    inputs = [rv for rv in model.free_RVs if rv.name in posterior]
    needed = set(ancestors(node.inputs[1:], blockers=inputs))
    absent = [rv.name for rv in model.free_RVs if rv in needed and rv not in inputs]
    if absent:
        raise ParameterError(
            compose_message(
                where,
                "the posterior lacks variables on which the states depend.",
                got=f"no draws of {', '.join(absent)}",
                expected="draws of every free variable of the model",
            )
        )
    evaluate = pytensor.function(
        inputs, list(node.inputs[1:]), on_unused_input="ignore", mode="FAST_COMPILE"
    )
    flat = [
        posterior[rv.name].values.reshape(-1, *posterior[rv.name].shape[2:]).astype(rv.dtype)
        for rv in inputs
    ]
    n_draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    per_draw = [evaluate(*(values[s] for values in flat)) for s in range(n_draws)]
    return [np.stack(values) for values in zip(*per_draw, strict=True)]


@lru_cache(maxsize=64)
def _decoder(kernel: HiddenMarkovLogLikelihood, kind: str) -> Callable:
    def of_one_draw(value: jax.Array, *parameters: jax.Array) -> jax.Array:
        return _PROBABILITIES[kind](*kernel.terms(value, *parameters))

    @jax.jit
    def of_all_draws(value: jax.Array, *parameters: jax.Array) -> jax.Array:
        return jax.lax.map(lambda one: of_one_draw(value, *one), parameters, batch_size=64)

    return of_all_draws


def _dims_and_coords(
    model: pm.Model, var_name: str, node: Apply, ndim: int
) -> tuple[list[str], dict[str, Any]]:
    """Name the dimensions of state probabilities after those of the model."""
    observed_dims = list(model.named_vars_to_dims.get(var_name) or ())[: ndim - 1]
    dims = [
        name or f"{var_name}_dim_{axis}"
        for axis, name in enumerate(observed_dims or [None] * (ndim - 1))
    ]
    matrix_dims = model.named_vars_to_dims.get(node.inputs[1].name)
    dims.append(matrix_dims[-2] if matrix_dims and matrix_dims[-2] else "state")
    coords = {
        dim: np.asarray(model.coords[dim])
        for dim in dims
        if dim in model.coords and model.coords[dim] is not None
    }
    return dims, coords
