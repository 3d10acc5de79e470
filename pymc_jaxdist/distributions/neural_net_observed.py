"""`NeuralNetObserved`: observations whose distribution a neural network predicts."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import describe as describe_shape
from pymc_jaxdist.distributions.arguments import known_shape, known_value
from pymc_jaxdist.distributions.memory import refuse_what_does_not_fit
from pymc_jaxdist.distributions.network_model import NetworkModel
from pymc_jaxdist.distributions.networks import (
    Network,
    named_leaves,
    open_network,
    trace_outputs,
)
from pymc_jaxdist.distributions.nn_priors import NetworkWeights, as_rows, row_struct
from pymc_jaxdist.distributions.observations import as_observations
from pymc_jaxdist.distributions.output_likelihood import OutputLikelihood
from pymc_jaxdist.distributions.registration import PreparedModel, register
from pymc_jaxdist.errors import DataError, ParameterError, ShapeError, compose_message
from pymc_jaxdist.ops.precision import in_double_precision

__all__ = ["NeuralNetObserved"]


class NeuralNetObserved:
    r"""Observations whose distribution depends on the output of a neural network.

    .. math::

        y_n \sim f(\theta(g_w(x_n)))

    where :math:`g_w` is the network and :math:`f` any PyMC distribution. Network and likelihood
    are one compiled function, with its exact gradient, in every sampler and backend.

    ========  =======================================================
    Support   that of the likelihood
    Unit      one log-density per row
    ========  =======================================================

    Parameters
    ----------
    name : str
        Name of the variable.
    net : Flax linen, Flax nnx or Equinox module, or callable
        The network, as given to `nn_priors`. A plain function is called as ``net(params, x)``.
    weights : NetworkWeights, mapping or pytree
        What `nn_priors` returned; or weights by dotted path, or in the structure of the network:
        variables of the model, and arrays.
    X : tensor_like ``(N, ...)``
        Covariates, one row for each observation. ``pm.Data`` and ``pm.Minibatch`` are welcome.
    likelihood : callable
        From the output of the network to an unregistered PyMC distribution, ``lambda out:
        pm.Normal.dist(out[..., 0], sigma)``. It may depend on other variables of the model.
    observed : array_like, optional
        Observations, one row for each of `X`. NaN and masked entries are missing, and left out.
    dims : str or tuple of str, optional
        Dimension names.
    **kwargs
        Passed to PyMC: ``total_size``, ...

    Returns
    -------
    TensorVariable
        The random variable, registered in the model.

    Raises
    ------
    ShapeError
        If observations and likelihood differ in shape, or weights do not fit the network.
    ParameterError
        If a weight is missing, or there is one too many.
    FunctionError
        If the network fails on `X`, draws random numbers, or computes in single precision.
    DistributionError
        If the likelihood is no distribution, or does not depend on the output.

    References
    ----------
    .. [1] Neal, R. M. (1996). Bayesian Learning for Neural Networks. Springer.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> def net(params, x):
    ...     return jnp.tanh(x @ params["hidden"]) @ params["out"]
    >>> start = {"hidden": np.ones((1, 4)), "out": np.ones((4, 1))}
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> with pm.Model() as model:
    ...     weights = pmj.nn_priors("net", net, X, start=start)
    ...     sigma = pm.HalfNormal("sigma")
    ...     y = pmj.NeuralNetObserved(
    ...         "y",
    ...         net,
    ...         weights,
    ...         X,
    ...         likelihood=lambda out: pm.Normal.dist(out[..., 0], sigma),
    ...         observed=np.sin(X[:, 0]),
    ...     )
    >>> round(float(model.point_logps()["y"]))
    -40
    """

    def __new__(
        cls,
        name: str,
        net: Any,
        weights: Any,
        X: Any,
        *,
        likelihood: Callable[..., Any],
        observed: Any = None,
        dims: Any = None,
        **kwargs: Any,
    ) -> TensorVariable:
        where = f"{cls.__name__} '{name}'"
        x = as_rows(X)
        row = row_struct(where, X)
        network, leaves = _weights(where, net, weights, row)
        outputs = trace_outputs(where, network, row)
        refuse_what_does_not_fit(
            where,
            {
                "one layer of the network, for all rows (N, width)": (
                    known_shape(x)[0],
                    outputs.width,
                )
            },
            "fewer rows at a time (pm.Minibatch)",
        )
        cut, others = OutputLikelihood.cut(where, likelihood, outputs.structure, outputs.row_shapes)
        dtype = "int64" if cut.distribution.discrete else "float64"
        if observed is not None:
            observed = as_observations(where, observed)
            if observed.type.dtype.startswith("float") and not _is_whole(observed):
                dtype = "float64"
        _check_shape(where, cut, x, observed)
        model = NetworkModel(
            # Compiled functions are kept by it; the variables of the model must not be.
            network=replace(network, values=[]),
            likelihood=cut,
            may_be_missing=_may_be_missing(observed),
            dtype=dtype,
            ndim=len(cut.shape),
        )
        prepared = PreparedModel(model, [x, *leaves, *others], _shape(cut, x, observed))
        return register(cls.__name__, name, prepared, observed, dims, kwargs)


def _weights(where: str, net: Any, weights: Any, row: Any) -> tuple[Network, list[TensorVariable]]:
    """Return the network, and its weights in order."""
    if isinstance(weights, NetworkWeights):
        network = open_network(where, net, row, weights.tree)
        given = dict(weights)
    elif isinstance(weights, Mapping) and any("." in str(path) for path in weights):
        network = open_network(where, net, row)
        given = dict(weights)
    else:
        network = open_network(where, net, row, weights)
        given = named_leaves(weights)
        given = {path: given[path] for path in network.paths if path in given}
    for problem, paths in (
        ("a weight of the network is not given.", set(network.paths) - set(given)),
        ("there is no such weight in the network.", set(given) - set(network.paths)),
    ):
        if paths:
            raise ParameterError(
                compose_message(
                    where,
                    problem,
                    got=f"'{min(paths)}'",
                    expected=", ".join(f"'{path}'" for path in network.paths),
                )
            )
    leaves = []
    for path, value in zip(network.paths, network.values, strict=True):
        leaf = in_double_precision(given[path])
        constant = known_value(leaf)
        if constant is not None and not np.isfinite(constant).all():
            raise ParameterError(
                compose_message(where, f"the weights '{path}' are not finite.", expected="numbers")
            )
        expected = known_shape(pt.as_tensor_variable(value))
        if not _agree(known_shape(leaf), expected):
            raise ShapeError(
                compose_message(
                    where,
                    f"the weights '{path}' have another shape than those of the network.",
                    got=describe_shape(leaf),
                    expected=str(expected),
                )
            )
        leaves.append(leaf)
    return network, leaves


def _agree(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    return len(one) == len(other) and all(
        None in pair or pair[0] == pair[1] for pair in zip(one, other, strict=True)
    )


def _check_shape(
    where: str, cut: OutputLikelihood, x: TensorVariable, observed: TensorVariable | None
) -> None:
    """Refuse a likelihood of another shape than the observations, which would broadcast."""
    expected = (known_shape(x)[0], *cut.shape[1:])
    if not cut.shape or cut.shape[0] == 1:
        raise ShapeError(
            compose_message(
                where,
                "the likelihood has no axis for the rows.",
                got=f"a distribution of shape {cut.shape}",
                expected="(N, ...), as the output has",
                suggestion="out[..., 0] in the place of out[0]",
            )
        )
    if observed is None:
        return
    shape = known_shape(observed)
    if _agree(shape, expected):
        return
    problem = "the likelihood has another shape than the observations."
    suggestion = None
    if len(shape) + 1 == len(expected) and expected[-1] == 1:
        suggestion = "out[..., 0] in the place of out"
    elif shape and None not in (shape[0], expected[0]) and shape[0] != expected[0]:
        problem = "X and observed have different numbers of rows."
    error = ShapeError if len(shape) != len(expected) or shape[1:] != expected[1:] else DataError
    raise error(
        compose_message(
            where,
            problem,
            got=f"observations {shape} and a likelihood of shape {expected}",
            suggestion=suggestion,
        )
    )


def _shape(
    cut: OutputLikelihood, x: TensorVariable, observed: TensorVariable | None
) -> tuple[Any, ...]:
    source = x if observed is None else observed
    rows = source.type.shape[0] if source.type.shape[0] is not None else source.shape[0]
    trailing = [
        n if n is not None or observed is None else observed.shape[axis + 1]
        for axis, n in enumerate(cut.shape[1:])
    ]
    return (rows, *trailing)


def _is_whole(observed: TensorVariable) -> bool:
    return isinstance(observed, Constant) and not np.isnan(observed.data).any()


def _may_be_missing(observed: TensorVariable | None) -> bool:
    """Tell whether NaN can turn up; only constant data without NaN is sure not to hold any."""
    return not isinstance(observed, Constant) or bool(np.isnan(observed.data).any())
