"""What a network says about new rows: its output for every posterior draw."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import numpy as np
import pymc as pm
import xarray as xr

from pymc_jaxdist.errors import ShapeError, compose_message
from pymc_jaxdist.kernels.network_log_likelihood import NetworkLogLikelihood
from pymc_jaxdist.ops.precision import double_precision
from pymc_jaxdist.posterior.convergence import effective_sample_size, r_hat
from pymc_jaxdist.posterior.parameter_draws import find_log_density, flat_draws, parameter_draws

__all__ = ["posterior_pytree", "predict_network"]


def predict_network(
    idata: Any, var_name: str, *, X: Any = None, model: pm.Model | None = None, chunk: int = 64
) -> xr.Dataset:
    """Evaluate a network for every posterior draw: see `predict`."""
    where = f"predict of '{var_name}'"
    model = pm.modelcontext(model)
    node = find_log_density(where, model, var_name, NetworkLogLikelihood, "NeuralNetObserved")
    kernel: NetworkLogLikelihood = node.op.kernel
    _, x_variable, *arguments = node.inputs
    x = _covariates(where, x_variable, X)
    draws = flat_draws(model, idata["posterior"])
    weights = parameter_draws(where, arguments[: kernel.n_weights], model, draws)
    with double_precision():
        outputs = _predictor(kernel.network, chunk)(x, *weights)
    posterior = idata["posterior"]
    n_chains, n_draws = posterior.sizes["chain"], posterior.sizes["draw"]
    variables = {}
    for i, output in enumerate(outputs):
        suffix = f"_{i}" if len(outputs) > 1 else ""
        values = np.asarray(output).reshape(n_chains, n_draws, *output.shape[1:])
        dims = ["row", *(f"output{suffix}_{axis}" for axis in range(values.ndim - 3))]
        variables[f"{var_name}{suffix}"] = (("chain", "draw", *dims), values)
        variables[f"r_hat{suffix}"] = (tuple(dims), r_hat(values))
        variables[f"ess{suffix}"] = (tuple(dims), effective_sample_size(values))
    coords = {dim: posterior[dim].values for dim in ("chain", "draw") if dim in posterior.coords}
    return xr.Dataset(variables, coords=coords)


def posterior_pytree(idata: Any, var_name: str, *, model: pm.Model | None = None) -> Any:
    """Posterior draws of the weights of a network, in the structure of its library.

    Parameters
    ----------
    idata : InferenceData or DataTree
        What ``pm.sample`` returned.
    var_name : str
        Name of the `NeuralNetObserved` variable.
    model : pm.Model, optional
        The model; by default the one in context.

    Returns
    -------
    pytree of array ``(chain * draw, ...)``
        The ``params`` of Flax linen, the pure dict of the state of Flax nnx, the Equinox module
        without what is no weight, or the argument of a plain function; frozen weights repeated.

    Raises
    ------
    ParameterError
        If the variable is no network of the model, or draws of its weights are missing.

    Examples
    --------
    The network at each of the draws, in plain JAX: ``jax.vmap(net.apply, (0, None))({"params":
    tree}, X)``.

    >>> import numpy as np, pymc as pm, xarray as xr
    >>> import pymc_jaxdist as pmj
    >>> X = np.array([[1.0], [2.0]])
    >>> net = lambda params, x: x @ params["slope"]
    >>> with pm.Model() as model:
    ...     weights = pmj.nn_priors("net", net, X, start={"slope": np.ones(1)})
    ...     y = pmj.NeuralNetObserved(
    ...         "y",
    ...         net,
    ...         weights,
    ...         X,
    ...         likelihood=lambda out: pm.Normal.dist(out),
    ...         observed=[1.0, 2.0],
    ...     )
    >>> draws = xr.Dataset({"net.slope": (("chain", "draw", "k"), [[[2.0], [3.0]]])})
    >>> pmj.posterior_pytree({"posterior": draws}, "y", model=model)["slope"].tolist()
    [[2.0], [3.0]]
    """
    where = f"posterior_pytree of '{var_name}'"
    model = pm.modelcontext(model)
    node = find_log_density(where, model, var_name, NetworkLogLikelihood, "NeuralNetObserved")
    kernel: NetworkLogLikelihood = node.op.kernel
    _, _, *arguments = node.inputs
    draws = flat_draws(model, idata["posterior"])
    weights = parameter_draws(where, arguments[: kernel.n_weights], model, draws)
    return kernel.network.structure.unflatten(weights)  # type: ignore[attr-defined]


def _covariates(where: str, variable: Any, X: Any) -> np.ndarray:
    if X is None:
        return np.asarray(variable.eval(mode="FAST_COMPILE"))
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    x = np.asarray(X, dtype=variable.type.dtype)
    expected = variable.type.shape[1:]
    fits = x.ndim == variable.type.ndim and all(
        n is None or n == m for n, m in zip(expected, x.shape[1:], strict=True)
    )
    if None in expected and x.ndim == variable.type.ndim:
        expected = variable.shape.eval()[1:]
        fits = tuple(expected) == x.shape[1:]
    if not fits:
        raise ShapeError(
            compose_message(
                where,
                "X has rows of another shape than those the network was made for.",
                got=f"shape {x.shape}",
                expected=f"(N, {', '.join(str(n) for n in expected)})",
            )
        )
    return x


@lru_cache(maxsize=64)
def _predictor(network: Callable[..., Any], chunk: int) -> Callable[..., Any]:
    @jax.jit
    def of_all_draws(x: jax.Array, *weights: jax.Array) -> tuple[jax.Array, ...]:
        return jax.lax.map(lambda one: network(one, x), weights, batch_size=chunk)

    return of_all_draws
