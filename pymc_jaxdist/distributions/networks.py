"""Neural networks of every library as one thing: a function of named arrays and rows.

Flax linen and nnx modules and plain functions are called with all rows at once, Equinox modules
with one row at a time.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from pytensor.graph.basic import Variable

from pymc_jaxdist.errors import FunctionError, ParameterError, compose_message
from pymc_jaxdist.ops.by_value import ByValue
from pymc_jaxdist.ops.flat_function import TreeStructure
from pymc_jaxdist.ops.output_layout import evaluate_shapes
from pymc_jaxdist.ops.precision import double_precision

__all__ = ["Network", "Outputs", "named_leaves", "open_network", "trace_outputs"]

RANDOM_PRIMITIVES = {"random_bits", "threefry2x32", "rng_bit_generator", "rng_uniform"}


@dataclass(frozen=True)
class Network:
    """A network as a function of its weights, arrays in a row, and of rows of covariates.

    Attributes
    ----------
    function : callable
        ``(tree of weights, x) -> pytree of outputs``, hashable by value.
    structure : TreeStructure
        Of the weights, as the library has them.
    paths : tuple of str
        Names of the weights, ``"hidden.kernel"``, in order.
    outputs_first : bool
        Whether kernels have their outputs on the first axis (Equinox) or on the last.
    values : list of array
        The weights the network has now. Not part of what it is.
    """

    function: Callable[..., Any]
    structure: TreeStructure
    paths: tuple[str, ...]
    outputs_first: bool
    values: list[Any] = field(compare=False, repr=False)

    def __call__(self, weights: tuple[Any, ...], x: jax.Array) -> tuple[jax.Array, ...]:
        outputs = self.function(self.structure.unflatten(weights), x)
        return tuple(jax.tree_util.tree_leaves(outputs))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "values": []}

    def __str__(self) -> str:
        return "network"


@dataclass(frozen=True)
class Outputs:
    """What a network returns, and what it needs on the way.

    Attributes
    ----------
    structure : TreeStructure
    row_shapes : tuple of tuple of int
        Of each array in it, the shape of one row.
    width : int
        How many numbers the largest intermediate result of one row holds.
    """

    structure: TreeStructure
    row_shapes: tuple[tuple[int, ...], ...]
    width: int


@dataclass(frozen=True)
class _Linen:
    module: ByValue
    other_collections: ByValue

    def __call__(self, params: Any, x: jax.Array) -> Any:
        return self.module.value.apply({"params": params, **self.other_collections.value}, x)


@dataclass(frozen=True)
class _Nnx:
    definition: ByValue
    blank: ByValue
    other_state: ByValue

    def __call__(self, params: Any, x: jax.Array) -> Any:
        from flax import nnx

        # Copies: a network may change its state when it is called.
        state, others = jax.tree_util.tree_map(
            lambda leaf: leaf, (self.blank.value, self.other_state.value)
        )
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(self.definition.value, state, others)(x)


@dataclass(frozen=True)
class _Equinox:
    static: ByValue

    def __call__(self, params: Any, x: jax.Array) -> Any:
        import equinox as eqx

        return jax.vmap(eqx.combine(params, self.static.value))(x)


def open_network(where: str, net: Any, row: jax.ShapeDtypeStruct, template: Any = None) -> Network:
    """Look into a network.

    Parameters
    ----------
    where : str
        What asks, for error messages.
    net : Flax linen, Flax nnx or Equinox module, or callable
    row : jax.ShapeDtypeStruct
        Shape and type of covariates ``(N, ...)``.
    template : pytree, optional
        Weights of the network, or for a plain function anything with their structure.

    Returns
    -------
    Network
    """
    with double_precision():
        if _is_a(net, "flax.linen"):
            return _open_linen(where, net, row, template)
        if _is_a(net, "flax.nnx"):
            return _open_nnx(where, net, template)
        if _is_a(net, "equinox"):
            return _open_equinox(where, net, template)
    if not callable(net):
        raise FunctionError(
            compose_message(
                where,
                "net must be a network.",
                got=f"{type(net).__name__}: {net!r:.60}",
                expected="a Flax or Equinox module, or a function (params, x) -> output",
            )
        )
    if template is None:
        raise ParameterError(
            compose_message(
                where,
                "a plain function does not tell the shapes of its weights.",
                suggestion='start={"hidden": {"kernel": np.zeros((3, 8)), ...}, ...}',
            )
        )
    return _network(ByValue(net, where), template, outputs_first=False)


def _is_a(net: Any, library: str) -> bool:
    """Tell whether a network is made with a library, without importing it."""
    return any(
        base.__module__.startswith(library) and base.__name__ == "Module"
        for base in type(net).__mro__
    )


def _network(function: Callable[..., Any], tree: Any, outputs_first: bool) -> Network:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return Network(
        function=function,
        structure=TreeStructure.of(tree),
        paths=tuple(_dotted(path) for path, _ in leaves),
        outputs_first=outputs_first,
        values=[value if _is_symbolic(value) else np.asarray(value) for _, value in leaves],
    )


def _is_symbolic(value: Any) -> bool:
    return isinstance(value, Variable)


def _shape_of(value: Any) -> tuple[int, ...]:
    return tuple(value.type.shape) if isinstance(value, Variable) else tuple(np.shape(value))


def _dotted(path: tuple[Any, ...]) -> str:
    """Write the path of a leaf as the user would: layers.0.weight."""

    def part(key: Any) -> str:
        for attribute in ("key", "idx", "name"):
            if hasattr(key, attribute):
                return str(getattr(key, attribute))
        return str(key)

    return ".".join(part(key) for key in path)


def named_leaves(tree: Any) -> dict[str, Any]:
    """Return the leaves of a pytree by their dotted paths.

    Examples
    --------
    >>> named_leaves({"hidden": {"kernel": 1, "bias": 2}, "head": [3]})
    {'head.0': 3, 'hidden.bias': 2, 'hidden.kernel': 1}
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_dotted(path): value for path, value in leaves}


def _open_linen(where: str, net: Any, row: jax.ShapeDtypeStruct, template: Any) -> Network:
    x = jnp.zeros((2, *row.shape[1:]), row.dtype)
    try:
        variables = dict(net.init(jax.random.key(0), x))
    except Exception as error:
        raise _network_error(where, error, row) from error
    params = variables.pop("params", {})
    if template is not None:
        params = template.get("params", template) if hasattr(template, "get") else template
        variables |= {k: v for k, v in template.items() if k in variables}
    if variables:
        _say_frozen(where, sorted(variables))
    return _network(_Linen(ByValue(net, where), ByValue(variables, where)), params, False)


def _open_nnx(where: str, net: Any, template: Any) -> Network:
    from flax import nnx

    if _is_a(template, "flax.nnx"):
        net, template = template, None
    if nnx.to_pure_dict(nnx.state(net, nnx.BatchStat)):
        net = nnx.clone(net)
        net.set_attributes(use_running_average=True, raise_if_not_found=False)
        _say_frozen(where, ["batch statistics"])
    definition, params, others = nnx.split(net, nnx.Param, ...)
    tree = nnx.to_pure_dict(params) if template is None else template
    # What the weights are now is no part of the function, nor of what it is compiled for.
    blank = jax.tree_util.tree_map(jnp.zeros_like, params)
    function = _Nnx(ByValue(definition, where), ByValue(blank, where), ByValue(others, where))
    return _network(function, tree, False)


def _open_equinox(where: str, net: Any, template: Any) -> Network:
    import equinox as eqx

    if template is not None:
        net = eqx.combine(template, net)
    params, static = eqx.partition(net, lambda x: _is_symbolic(x) or eqx.is_inexact_array(x))
    return _network(_Equinox(ByValue(static, where)), params, True)


def _say_frozen(where: str, what: list[str]) -> None:
    warnings.warn(
        f"{where}: {', '.join(what)} of the network stay as they are; only its parameters get "
        "priors.",
        UserWarning,
        stacklevel=4,
    )


def trace_outputs(where: str, network: Network, row: jax.ShapeDtypeStruct) -> Outputs:
    """Trace a network on two rows; refuse what cannot be the mean of independent rows.

    Raises
    ------
    FunctionError
        If the network fails, draws random numbers, computes in single precision, or does not
        return one result for each row.
    """
    structures = []

    def call(x: jax.Array, *weights: jax.Array) -> tuple[jax.Array, ...]:
        outputs = network.function(network.structure.unflatten(weights), x)
        structures.append(TreeStructure.of(outputs))
        return tuple(jnp.asarray(leaf) for leaf in jax.tree_util.tree_leaves(outputs))

    dtype = "float64" if np.dtype(row.dtype).kind == "f" else str(row.dtype)
    inputs = [(dtype, (2, *row.shape[1:]))]
    inputs += [
        ("float64", tuple(np.shape(v)) if not _is_symbolic(v) else v.type.shape)
        for v in network.values
    ]
    try:
        results, _ = evaluate_shapes(call, inputs)
        with double_precision():
            structs = [jax.ShapeDtypeStruct(shape, dtype) for dtype, shape in inputs]
            jaxpr = jax.make_jaxpr(call)(*structs)
    except Exception as error:
        raise _network_error(where, error, row) from error
    if RANDOM_PRIMITIVES & set(_primitives(jaxpr.jaxpr)):
        raise _draws_random_numbers(where, "random draws in its forward pass")
    for result in results:
        if str(result.dtype) != "float64":
            raise FunctionError(
                compose_message(
                    where,
                    "the network computes in single precision.",
                    got=f"an output of type {result.dtype}",
                    expected="float64 from weights and covariates of float64",
                    suggestion="dtype=None in its layers",
                )
            )
        if result.ndim == 0 or result.shape[0] != 2:
            raise FunctionError(
                compose_message(
                    where,
                    "the network does not return one result for each row.",
                    got=f"shape {result.shape} from two rows",
                    expected="(2, ...)",
                )
            )
    row_shapes = tuple(tuple(result.shape[1:]) for result in results)
    return Outputs(structures[-1], row_shapes, max(_widths(jaxpr.jaxpr), default=1))


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Give the operations of a traced function, also of functions within."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in jax.tree_util.tree_leaves(
            list(equation.params.values()),
            is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr"),
        ):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from _equations(inner)


def _primitives(jaxpr: Any) -> Iterator[str]:
    return (equation.primitive.name for equation in _equations(jaxpr))


def _widths(jaxpr: Any) -> Iterator[int]:
    """Give the sizes of results that have an axis of rows, for one of the two rows traced."""
    for equation in _equations(jaxpr):
        for output in equation.outvars:
            shape = output.aval.shape
            if shape[:1] == (2,):
                yield math.prod(shape[1:])


def _network_error(where: str, error: Exception, row: jax.ShapeDtypeStruct) -> FunctionError:
    text = str(error).strip()
    first = text.splitlines()[0] if text else ""
    if "dropout" in text.lower() or "PRNG" in text:
        return _draws_random_numbers(where, f"{type(error).__name__}: {first:.150}")
    suggestion = None
    if "batch_stats" in text:
        suggestion = "nn.BatchNorm(use_running_average=True)"
    return FunctionError(
        compose_message(
            where,
            "the network fails on these covariates.",
            got=f"{type(error).__name__}: {first:.200}",
            expected=f"a network of rows of shape {tuple(row.shape[1:])}",
            suggestion=suggestion,
        )
    )


def _draws_random_numbers(where: str, got: str) -> FunctionError:
    return FunctionError(
        compose_message(
            where,
            "the network draws random numbers, so that its log-density would differ at each "
            "evaluation and could not be sampled.",
            got=got,
            expected="a function of weights and covariates only",
            suggestion="leave out dropout (the priors regularise), or switch it off: "
            "deterministic=True in linen, net.eval() in nnx, eqx.nn.inference_mode(net)",
        )
    )
