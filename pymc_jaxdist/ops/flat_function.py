"""JAX functions of arrays in a row: a user's function, and what is derived from it.

Every class here is a hashable, picklable callable from arrays to a tuple of arrays, so that an Op
can hold it and compiled functions can be found by it. Pullbacks of pullbacks are second
derivatives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.ops.by_value import ByValue

__all__ = [
    "Flat",
    "FlatFunction",
    "Pullback",
    "Pushforward",
    "Selection",
    "TreeStructure",
    "ValueAndPullbacks",
    "Vectorized",
]

Flat = Callable[..., tuple[jax.Array, ...]]


class TreeStructure:
    """The structure of a pytree, which pickles whatever classes the tree is made of.

    Examples
    --------
    >>> TreeStructure.of({"a": 1, "b": [2, 3]}).unflatten([4, 5, 6])
    {'a': 4, 'b': [5, 6]}
    """

    def __init__(self, treedef: Any) -> None:
        self.treedef = treedef

    @classmethod
    def of(cls, tree: Any) -> "TreeStructure":
        """Return the structure of a pytree."""
        return cls(jax.tree_util.tree_structure(tree))

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """Return the pytree with these leaves."""
        return jax.tree_util.tree_unflatten(self.treedef, leaves)

    def __hash__(self) -> int:
        return hash(self.treedef)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeStructure) and self.treedef == other.treedef

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickled treedef of an Equinox module is not equal to the original; the module is.
        return TreeStructure.of, (self.unflatten(range(self.treedef.num_leaves)),)


@dataclass(frozen=True)
class FlatFunction:
    """A user's function of arguments and keyword arguments as one of its arrays only.

    Parameters
    ----------
    function : ByValue
        The function.
    structure : TreeStructure
        Of ``(args, kwargs)``.
    static : tuple of (int, ByValue)
        Positions and values of the leaves that are no arrays.
    """

    function: ByValue
    structure: TreeStructure
    static: tuple[tuple[int, ByValue], ...]

    def __call__(self, *arrays: Any) -> tuple[jax.Array, ...]:
        return self.with_structure(*arrays)[0]

    def with_structure(
        self, *arrays: Any
    ) -> tuple[tuple[jax.Array, ...], TreeStructure, tuple[tuple[int, Any], ...]]:
        """Return the arrays of the result, its structure, and its leaves that are no arrays."""
        leaves = list(arrays)
        for position, leaf in self.static:
            leaves.insert(position, leaf.value)
        args, kwargs = self.structure.unflatten(leaves)
        results, treedef = jax.tree_util.tree_flatten(self.function(*args, **kwargs))
        arrays = tuple(jnp.asarray(x) for x in results if is_array(x))
        static = tuple((i, x) for i, x in enumerate(results) if not is_array(x))
        return arrays, TreeStructure(treedef), static

    def __str__(self) -> str:
        return str(self.function)


def is_array(leaf: Any) -> bool:
    """Tell whether a leaf of a result is an array or a number."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | complex)


@dataclass(frozen=True)
class Pullback:
    """Cotangents of some inputs from cotangents of some outputs: ``(*x, *g) -> (*dx,)``."""

    function: Flat
    n_inputs: int
    wrt: tuple[int, ...]
    outputs: tuple[int, ...]

    def __call__(self, *arguments: Any) -> tuple[jax.Array, ...]:
        inputs, cotangents = arguments[: self.n_inputs], arguments[self.n_inputs :]
        function = _selected(self.function, inputs, self.wrt, self.outputs)
        values, transpose = jax.vjp(function, *(inputs[i] for i in self.wrt))
        return transpose(_like(cotangents, values))

    def __str__(self) -> str:
        return f"pullback of {self.function}"


@dataclass(frozen=True)
class Pushforward:
    """Tangents of some outputs from tangents of some inputs: ``(*x, *dx) -> (*dy,)``."""

    function: Flat
    n_inputs: int
    wrt: tuple[int, ...]
    outputs: tuple[int, ...]

    def __call__(self, *arguments: Any) -> tuple[jax.Array, ...]:
        inputs, tangents = arguments[: self.n_inputs], arguments[self.n_inputs :]
        function = _selected(self.function, inputs, self.wrt, self.outputs)
        primals = tuple(jnp.asarray(inputs[i]) for i in self.wrt)
        return jax.jvp(function, primals, _like(tangents, primals))[1]

    def __str__(self) -> str:
        return f"pushforward of {self.function}"


@dataclass(frozen=True)
class Selection:
    """Some of the results of a function; what only the others need is not computed."""

    function: Flat
    outputs: tuple[int, ...]

    def __call__(self, *inputs: Any) -> tuple[jax.Array, ...]:
        results = self.function(*inputs)
        return tuple(results[i] for i in self.outputs)

    def __str__(self) -> str:
        return str(self.function)


@dataclass(frozen=True)
class Vectorized:
    """A function over ``ndim`` more leading dimensions of those inputs that are batched."""

    function: Flat
    ndim: int
    batched: tuple[bool, ...]

    def __call__(self, *inputs: Any) -> tuple[jax.Array, ...]:
        in_axes = tuple(0 if batched else None for batched in self.batched)
        function = self.function
        for _ in range(self.ndim):
            function = jax.vmap(function, in_axes)
        return function(*inputs)

    def __str__(self) -> str:
        return str(self.function)


@dataclass(frozen=True)
class ValueAndPullbacks:
    """A function's values and its pullbacks at cotangents computed from those values.

    One forward pass serves all. The inputs are those of the function, then what else the
    cotangents depend on; the results are the values at ``exported``, then those of each pullback,
    then those of the graph of cotangents which are wanted outside it.

    Parameters
    ----------
    function : callable
    n_inputs : int
        Number of inputs of the function.
    exported : tuple of int
        Positions of the values that are returned.
    seen : tuple of int
        Positions of the values on which the cotangents depend.
    cotangents : callable
        ``(*seen values, *others) -> (*cotangents, *wanted)``.
    pullbacks : tuple of (wrt, outputs)
        Input and output positions of each pullback.
    """

    function: Flat
    n_inputs: int
    exported: tuple[int, ...]
    seen: tuple[int, ...]
    cotangents: Flat
    pullbacks: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

    def __call__(self, *arguments: Any) -> tuple[jax.Array, ...]:
        inputs, others = arguments[: self.n_inputs], arguments[self.n_inputs :]
        wrt = tuple(sorted({i for wrt, _ in self.pullbacks for i in wrt}))
        function = _selected(self.function, inputs, wrt, None)
        values, transpose = jax.vjp(function, *(inputs[i] for i in wrt))
        from_graph = list(self.cotangents(*(values[i] for i in self.seen), *others))
        results = [values[i] for i in self.exported]
        for own_wrt, outputs in self.pullbacks:
            given = {i: from_graph.pop(0) for i in outputs}
            cotangents = tuple(_as_cotangent(given.get(i), value) for i, value in enumerate(values))
            gradients = dict(zip(wrt, transpose(cotangents), strict=True))
            results += [gradients[i] for i in own_wrt]
        return (*results, *from_graph)

    def __str__(self) -> str:
        return f"{self.function} and its pullback"


def _selected(
    function: Flat, inputs: Sequence[Any], wrt: tuple[int, ...], outputs: tuple[int, ...] | None
) -> Flat:
    """Return a function as one of some of its inputs, with some of its outputs (None: all)."""

    def selected(*moving: jax.Array) -> tuple[jax.Array, ...]:
        full = list(inputs)
        for position, argument in zip(wrt, moving, strict=True):
            full[position] = argument
        results = function(*full)
        return results if outputs is None else tuple(results[i] for i in outputs)

    return selected


def _like(given: Sequence[Any], values: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    return tuple(_as_cotangent(x, value) for x, value in zip(given, values, strict=True))


def _as_cotangent(given: Any, value: jax.Array) -> Any:
    """Return a cotangent of the shape and type that JAX demands."""
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        return np.zeros(value.shape, dtype=jax.dtypes.float0)
    if given is None:
        return jnp.zeros_like(value)
    return jnp.broadcast_to(given, value.shape).astype(value.dtype)
