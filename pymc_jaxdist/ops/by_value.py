"""Python objects, functions above all, that are equal when they do the same.

A model is built again whenever a notebook cell runs again, and its functions are then new objects
with the same code. Compared by identity, each would be compiled anew.
"""

import importlib
import io
import sys
from collections.abc import Hashable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import cloudpickle
import jax
import numpy as np
from pytensor.graph.basic import Variable

from pymc_jaxdist.errors import FunctionError, compose_message

__all__ = ["ByValue"]


class ByValue:
    """An object that is hashed and compared by what it is made of, and pickles anyhow.

    Functions are described by their code, their defaults, and the values of what they refer to
    outside; functions of an importable module by their name. Arrays are described by their
    entries, pytrees by structure and leaves. What cannot be looked into stands for itself.

    Parameters
    ----------
    value : object
        Anything that cloudpickle can pickle.
    where : str
        What the object is part of, for error messages.

    Raises
    ------
    FunctionError
        If a function refers to a PyTensor variable, which it would have to be given.

    Examples
    --------
    >>> def build(scale):
    ...     return lambda x: scale * x
    >>> ByValue(build(2.0)) == ByValue(build(2.0))
    True
    >>> ByValue(build(2.0)) == ByValue(build(3.0))
    False
    """

    def __init__(self, value: Any, where: str = "jax_function") -> None:
        self.value = value
        self._key = _Description(where).of(value)
        self._hash = hash(self._key)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.value(*args, **kwargs)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, ByValue) and self._hash == other._hash and self._key == other._key

    def __reduce__(self) -> tuple[Any, ...]:
        # Plain pickle refuses functions that are not importable by name.
        stream = io.BytesIO()
        _Pickler(stream).dump(self.value)
        return _restore, (stream.getvalue(),)

    def __repr__(self) -> str:
        return str(getattr(self.value, "__name__", self.value))


class _Pickler(cloudpickle.Pickler):
    """Pickles compiled functions of a library by name, where cloudpickle would copy them."""

    def reducer_override(self, value: Any) -> Any:
        if _is_jitted(value) and _is_importable(value):
            return _import, (value.__module__, value.__qualname__)
        return super().reducer_override(value)


def _import(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _restore(pickled: bytes) -> ByValue:
    return ByValue(cloudpickle.loads(pickled))


class _Description:
    """A walk through an object that yields what tells it from others."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._visited: dict[int, int] = {}

    def of(self, value: Any) -> Hashable:
        if isinstance(value, float | complex):
            return type(value), repr(value)  # NaN differs from itself
        if value is None or isinstance(value, str | bytes | int):
            return type(value), value
        if id(value) in self._visited:  # a function that refers to itself
            return "visited", self._visited[id(value)]
        self._visited[id(value)] = len(self._visited)
        return self._of_compound(value)

    def _of_compound(self, value: Any) -> Hashable:
        if isinstance(value, Variable):
            raise FunctionError(
                compose_message(
                    self._where,
                    "the function refers to a PyTensor variable from outside.",
                    got=f"{value.name or value!r:.60}",
                    expected="variables of the model as arguments of the function",
                )
            )
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            return _of_array(value)
        if isinstance(value, ModuleType):
            return "module", value.__name__
        if _is_importable(value):
            return "import", value
        if isinstance(value, FunctionType):
            return self._of_function(value)
        if isinstance(value, MethodType):
            return "method", self.of(value.__func__), self.of(value.__self__)
        if isinstance(value, partial):
            return "partial", self.of(value.func), self.of(value.args), self.of(value.keywords)
        if _is_jitted(value):
            return "jit", self.of(value.__wrapped__)
        if isinstance(value, tuple | list):
            return type(value), tuple(self.of(x) for x in value)
        if isinstance(value, slice):
            return slice, self.of((value.start, value.stop, value.step))
        if isinstance(value, dict):
            return dict, tuple((self.of(k), self.of(x)) for k, x in value.items())
        return self._of_object(value)

    def _of_function(self, function: FunctionType) -> Hashable:
        cells = function.__closure__ or ()
        names = sorted(set(_global_names(function.__code__)) & set(function.__globals__))
        return (
            "function",
            function.__code__,
            self.of(function.__defaults__),
            self.of(function.__kwdefaults__),
            tuple(self._of_cell(cell) for cell in cells),
            tuple((name, self.of(function.__globals__[name])) for name in names),
        )

    def _of_cell(self, cell: Any) -> Hashable:
        try:
            return self.of(cell.cell_contents)
        except ValueError:  # not filled yet
            return "empty cell"

    def _of_object(self, value: Any) -> Hashable:
        leaves, structure = jax.tree_util.tree_flatten(value)
        is_tree = len(leaves) != 1 or leaves[0] is not value
        try:
            if is_tree:
                hash(structure)
                return "tree", structure, tuple(self.of(leaf) for leaf in leaves)
            hash(value)
        except TypeError:
            return "identity", id(value)
        return "object", value


def _of_array(value: Any) -> Hashable:
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype == object:
        return "identity", id(value)
    return "array", array.dtype.str, array.shape, array.tobytes()


def _is_importable(value: Any) -> bool:
    """Tell whether an object is found by its name in a module that is not typed in anew."""
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def _is_jitted(value: Any) -> bool:
    return type(value) is type(jax.jit(len)) and hasattr(value, "__wrapped__")


def _global_names(code: CodeType) -> Iterator[str]:
    """Yield the global names a function may read, also in functions defined inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)
