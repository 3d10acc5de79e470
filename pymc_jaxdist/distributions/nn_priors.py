"""`nn_priors`: the weights of a neural network as variables of a model."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import jax
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import known_shape
from pymc_jaxdist.distributions.emission import EmissionDistribution
from pymc_jaxdist.distributions.networks import (
    Network,
    named_leaves,
    open_network,
    trace_outputs,
)
from pymc_jaxdist.distributions.started_at import started_at
from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message

__all__ = ["FanIn", "Frozen", "NetworkWeights", "as_rows", "describe", "nn_priors", "row_struct"]


@dataclass(frozen=True)
class FanIn:
    r"""Normal prior whose scale keeps the variance of a layer's output that of its input.

    .. math::

        w \sim \mathrm{Normal}(0, s / \sqrt{n_\mathrm{in}})

    The fan-in :math:`n_\mathrm{in}` is the number of inputs of each output: for a kernel the
    product of all its dimensions but that of the outputs, for a vector 1.

    Parameters
    ----------
    scale : float or TensorVariable
        :math:`s`, for example a variable of the model.

    References
    ----------
    .. [1] Neal, R. M. (1996). Bayesian Learning for Neural Networks, section 2.1. Springer.

    Examples
    --------
    >>> FanIn(2.0).sigma((3, 3, 4, 8), outputs_first=False)
    0.3333333333333333
    """

    scale: Any = 1.0

    def sigma(self, shape: tuple[int, ...], outputs_first: bool) -> Any:
        """Return the standard deviation for an array of weights."""
        inputs = shape[1:] if outputs_first else shape[:-1]
        fan_in = int(np.prod(inputs)) if len(shape) > 1 else 1
        return self.scale / math.sqrt(fan_in)


@dataclass(frozen=True)
class Frozen:
    """Weights that stay as they are, in the place of a prior.

    Parameters
    ----------
    values : array_like or mapping, optional
        The values: an array, or arrays by dotted path. By default those that `nn_priors` is
        given as ``start``, or else those of the network.
    """

    values: Any = None


class NetworkWeights(Mapping[str, Any]):
    """The weights of a network by dotted path: variables of the model, and frozen arrays.

    Attributes
    ----------
    tree : pytree
        The same in the network's own structure.
    """

    def __init__(self, network: Network, weights: dict[str, Any]) -> None:
        self._weights = weights
        self.tree = network.structure.unflatten([weights[path] for path in network.paths])

    def __getitem__(self, path: str) -> Any:
        return self._weights[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __repr__(self) -> str:
        lines = (f"  {path}  {_described(value)}" for path, value in self.items())
        return "NetworkWeights\n" + "\n".join(lines)


def _described(value: Any) -> str:
    if isinstance(value, Variable):
        return f"{known_shape(value)}  variable '{value.name}'"
    return f"{np.shape(value)}  frozen"


def nn_priors(
    name: str,
    net: Any,
    X: Any,
    prior: Any = None,
    *,
    dims: Mapping[str, Any] | None = None,
    start: Any = None,
) -> NetworkWeights:
    r"""Give the weights of a neural network priors, as variables of the model.

    Parameters
    ----------
    name : str
        Prefix of the variables, which are named ``f"{name}.hidden.kernel"``.
    net : Flax linen, Flax nnx or Equinox module, or callable
        The network. Flax modules and plain functions ``(params, x) -> out`` get all rows at once,
        Equinox modules one row at a time.
    X : tensor_like ``(N, ...)``
        Covariates; only their shape and type matter here.
    prior : distribution, FanIn, Frozen, or mapping, optional
        One unregistered PyMC distribution for all weights, ``pm.Normal.dist(0, tau)``, or a
        mapping from patterns of dotted paths to one: ``{"*.kernel": FanIn(), "*.bias":
        pm.Normal.dist(0, 1), "head.*": Frozen()}``. ``*`` matches anything; the first pattern that
        matches wins. Parameters of a distribution may be variables of the model, and broadcast
        against the weights. By default kernels are ``FanIn()`` and vectors standard normal.
    dims : mapping, optional
        From patterns of dotted paths to dimension names.
    start : pytree or module, optional
        Weights of a trained network, in the structure of the library, where sampling starts. By
        default those the network has, or in linen those it is initialised with.

    Returns
    -------
    NetworkWeights
        A mapping from dotted paths to variables, for `NeuralNetObserved`.

    Raises
    ------
    ParameterError
        If a weight matches no pattern or a pattern no weight, or weights are NaN.
    ShapeError
        If a prior, or `start`, does not fit the shape of the weights.
    FunctionError
        If the network fails on `X`, draws random numbers, or computes in single precision.

    See Also
    --------
    NeuralNetObserved : observations that depend on the output of the network.
    describe : a table of the weights.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> def net(params, x):
    ...     return jnp.tanh(x @ params["hidden"]) @ params["out"]
    >>> start = {"hidden": np.ones((3, 4)), "out": np.ones((4, 1))}
    >>> with pm.Model() as model:
    ...     tau = pm.HalfNormal("tau")
    ...     prior = {"hidden": pm.Normal.dist(0, tau), "*": pmj.FanIn()}
    ...     weights = pmj.nn_priors("net", net, np.zeros((10, 3)), prior=prior, start=start)
    >>> [rv.name for rv in model.free_RVs]
    ['tau', 'net.hidden', 'net.out']
    """
    where = f"nn_priors '{name}'"
    model = pm.modelcontext(None)
    row = row_struct(where, X)
    network = open_network(where, net, row, start)
    trace_outputs(where, network, row)
    values = dict(zip(network.paths, network.values, strict=True))
    _refuse_nan(where, values, "start")
    rules = _rules(where, prior, network)
    dim_rules = {} if dims is None else dict(dims)
    chosen = _match(where, rules, values, must_cover=True)
    dims_of = _match(where, dim_rules, values, must_cover=False)
    weights = {}
    for path, value in values.items():
        rule = chosen[path]
        if isinstance(rule, Frozen):
            weights[path] = _frozen(where, path, rule, value)
            continue
        rv = _prior(where, path, rule, value.shape, network)
        weights[path] = model.register_rv(
            started_at(rv, value), f"{name}.{path}", dims=dims_of.get(path)
        )
    return NetworkWeights(network, weights)


def _rules(where: str, prior: Any, network: Network) -> dict[str, Any]:
    if prior is None:
        vectors = [p for p, v in zip(network.paths, network.values, strict=True) if v.ndim < 2]
        kernels = [p for p in network.paths if p not in vectors]
        return dict.fromkeys(kernels, FanIn()) | dict.fromkeys(vectors, pm.Normal.dist(0.0, 1.0))
    if isinstance(prior, Mapping):
        return dict(prior)
    return {"*": prior}


def _match(
    where: str, rules: Mapping[str, Any], leaves: Mapping[str, Any], must_cover: bool
) -> dict[str, Any]:
    """Find the first pattern that matches each weight; refuse patterns that match none."""
    chosen: dict[str, str] = {}
    for path in leaves:
        for pattern in rules:
            if fnmatchcase(path, pattern):
                chosen[path] = pattern
                break
    there_is = ", ".join(f"'{path}' {np.shape(value)}" for path, value in leaves.items())
    unused = [pattern for pattern in rules if pattern not in chosen.values()]
    if unused:
        shadowed = any(fnmatchcase(path, unused[0]) for path in leaves)
        raise ParameterError(
            compose_message(
                where,
                "a pattern comes after others that match all its weights."
                if shadowed
                else "a pattern matches no weight.",
                got=f"'{unused[0]}'",
                expected=f"patterns of {there_is}",
                suggestion="special patterns before general ones" if shadowed else None,
            )
        )
    uncovered = [path for path in leaves if path not in chosen]
    if uncovered and must_cover:
        raise ParameterError(
            compose_message(
                where,
                "a weight matches no pattern, and would have no prior.",
                got=f"'{uncovered[0]}' and the patterns {', '.join(map(repr, rules))}",
                expected=f"patterns that cover {there_is}",
                suggestion='{..., "*": pmj.FanIn()}',
            )
        )
    return {path: rules[pattern] for path, pattern in chosen.items()}


def _prior(
    where: str, path: str, rule: Any, shape: tuple[int, ...], network: Network
) -> TensorVariable:
    """Return an unregistered random variable for one array of weights."""
    if isinstance(rule, FanIn):
        sigma = rule.sigma(shape, network.outputs_first)
        return pm.Normal.dist(0.0, sigma, size=shape)
    distribution, parameters = EmissionDistribution.cut(rule, where, f"prior of '{path}'")
    n_batch = len(shape) - distribution.event_ndim
    batch_shape = distribution.batch_shape
    try:
        fits = n_batch >= len(batch_shape) and _fits(batch_shape, shape[:n_batch])
        fits = fits and _fits(distribution.event_shape, shape[n_batch:])
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            compose_message(
                where,
                f"the prior of '{path}' does not fit its shape.",
                got=f"a distribution of shape {(*batch_shape, *distribution.event_shape)}",
                expected=f"what broadcasts to {shape}",
            )
        )
    return distribution.independent(parameters, shape[:n_batch])


def _fits(given: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    known = tuple(n if n is not None else 1 for n in given)
    return np.broadcast_shapes(known, shape) == shape


def _frozen(where: str, path: str, rule: Frozen, value: np.ndarray) -> np.ndarray:
    given = rule.values
    if given is None:
        given = value
    elif not isinstance(given, np.ndarray | list | float | int):
        given = named_leaves(given).get(path, given)
    given = np.asarray(given, dtype="float64")
    if given.shape != value.shape:
        raise ShapeError(
            compose_message(
                where,
                f"the frozen values of '{path}' have another shape.",
                got=str(given.shape),
                expected=str(value.shape),
            )
        )
    _refuse_nan(where, {path: given}, "Frozen")
    return given


def _refuse_nan(where: str, values: Mapping[str, np.ndarray], source: str) -> None:
    for path, value in values.items():
        if not np.isfinite(value).all():
            raise ParameterError(
                compose_message(
                    where,
                    f"the weights '{path}' are not finite.",
                    got=f"NaN or infinity in {source}",
                    expected="numbers",
                )
            )


def as_rows(X: Any) -> TensorVariable:
    """Return covariates as a tensor; floats in double precision, DataFrames as arrays."""
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    variable = pt.as_tensor_variable(X)
    if variable.type.dtype.startswith("float"):
        variable = pt.cast(variable, "float64")
    return variable


def row_struct(where: str, X: Any) -> jax.ShapeDtypeStruct:
    """Return shape and type of covariates, all but the number of rows of which must be known."""
    variable = as_rows(X)
    shape = known_shape(variable)
    if not shape or None in shape[1:]:
        raise ShapeError(
            compose_message(
                where,
                "X must have rows, of a known shape.",
                got=f"shape {shape}",
                expected="(N, ...)",
            )
        )
    return jax.ShapeDtypeStruct((shape[0] or 2, *shape[1:]), variable.type.dtype)


def describe(net: Any, X: Any, *, start: Any = None) -> pd.DataFrame:
    """List the weights of a network: what patterns of `nn_priors` are matched against.

    Parameters
    ----------
    net, X, start
        As in `nn_priors`.

    Returns
    -------
    pandas.DataFrame
        A row for each array of weights, with its dotted path, shape, number of weights, fan-in,
        and the standard deviation of the default prior.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc_jaxdist as pmj
    >>> start = {"hidden": np.ones((3, 4)), "out": np.ones(4)}
    >>> net = lambda params, x: x @ params["hidden"] @ params["out"]
    >>> print(pmj.describe(net, np.zeros((10, 3)), start=start))
             shape  size  fan_in  prior_sd
    weights
    hidden  (3, 4)    12       3  0.57735
    out       (4,)     4       1  1.00000
    """
    where = "describe"
    row = row_struct(where, X)
    network = open_network(where, net, row, start)
    trace_outputs(where, network, row)
    rows = [
        {
            "weights": path,
            "shape": value.shape,
            "size": value.size,
            "fan_in": round(FanIn().sigma(value.shape, network.outputs_first) ** -2),
            "prior_sd": FanIn().sigma(value.shape, network.outputs_first),
        }
        for path, value in zip(network.paths, network.values, strict=True)
    ]
    return pd.DataFrame(rows).set_index("weights")
