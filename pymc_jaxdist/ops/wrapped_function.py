"""`jax_function`: a JAX function as a function of PyTensor variables."""

from collections.abc import Callable
from functools import lru_cache, partial, update_wrapper
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from pytensor.graph.basic import Variable
from pytensor.tensor import as_tensor_variable
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.errors import FunctionError, compose_message
from pymc_jaxdist.ops.by_value import ByValue
from pymc_jaxdist.ops.flat_function import FlatFunction, TreeStructure
from pymc_jaxdist.ops.forward_mode import ForwardMode
from pymc_jaxdist.ops.jax_op import JaxFunction
from pymc_jaxdist.ops.output_layout import InputLayout, evaluate_shapes

__all__ = ["jax_function"]


class _WrappedFunction:
    """What `jax_function` returns."""

    def __init__(self, function: Callable[..., Any], derivatives: str) -> None:
        if derivatives not in ("reverse", "forward"):
            raise FunctionError(
                compose_message(
                    "jax_function",
                    "there are two ways to differentiate.",
                    got=f"derivatives={derivatives!r}",
                    expected="'reverse' or 'forward'",
                )
            )
        if not callable(function):
            raise FunctionError(
                compose_message(
                    "jax_function",
                    "the argument must be a function.",
                    got=f"{type(function).__name__}: {function!r:.60}",
                )
            )
        update_wrapper(self, function)
        self._function = function
        self._derivatives = derivatives

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        where = f"jax_function '{getattr(self._function, '__name__', self._function)}'"
        function, variables = flatten_call(where, self._function, args, kwargs)
        types = tuple((x.type.dtype, x.type.shape) for x in variables)
        result = describe_result(where, function, types)
        op = JaxFunction(ForwardMode(function) if self._derivatives == "forward" else function)
        outputs = op(*variables, return_list=True)
        for position, leaf in result.static:
            outputs.insert(position, leaf)
        return result.structure.unflatten(outputs)

    def __repr__(self) -> str:
        return f"jax_function({self._function!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rewrap, (ByValue(self._function), self._derivatives)


def _rewrap(function: ByValue, derivatives: str) -> "_WrappedFunction":
    return _WrappedFunction(function.value, derivatives)


def jax_function(
    fn: Callable[..., Any] | None = None, *, derivatives: Literal["reverse", "forward"] = "reverse"
) -> Callable[..., Any]:
    """Turn a JAX function into a function of PyTensor and PyMC variables.

    The result takes the arguments of ``fn``, in pytrees (dicts, lists, tuples, Equinox modules)
    of any depth: PyTensor variables and arrays in them are inputs; everything else (Python
    numbers, strings, functions) is static, and may be used as a shape, an axis or in an ``if``.
    It returns what ``fn`` returns, with PyTensor variables in the place of arrays.

    Value and gradient take one call with one forward pass, in the C, Numba and JAX backends, in
    double precision unless the inputs are not. A function is compiled once for each shape of its
    inputs, also when the model, or the function itself, is built again from the same code.

    Parameters
    ----------
    fn : callable
        A function of JAX arrays that ``jax.jit`` accepts. Variables of the model must be its
        arguments, not be referred to from outside. Without it a decorator is returned:
        ``@jax_function(derivatives="forward")``.
    derivatives : "reverse" or "forward", default "reverse"
        How JAX differentiates. In reverse mode a gradient costs a few times as much as the value,
        however many inputs there are. In forward mode each number in the inputs costs about as
        much as the value: for functions of a few numbers, and for those that have no reverse mode
        (``jax.lax.while_loop``, a diffrax solver with ``adjoint=diffrax.ForwardMode()``).

    Returns
    -------
    callable
        The function of PyTensor variables. Has derivatives of every order that ``fn`` has.

    Raises
    ------
    FunctionError
        If `derivatives` is something else; when the function is called, if ``fn`` does not run
        on arrays of the given shapes and types.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> @pmj.jax_function
    ... def decay(rates, times, power=1):
    ...     return {"level": jnp.exp(-rates["k"] * times**power)}
    >>> with pm.Model() as model:
    ...     k = pm.HalfNormal("k")
    ...     curve = decay({"k": k}, np.linspace(0, 4, 5), power=2)
    ...     y = pm.Normal("y", curve["level"], 0.1, observed=[1.0, 0.6, 0.1, 0.0, 0.0])
    >>> curve["level"].type.shape
    (5,)
    >>> {name: round(float(value), 2) for name, value in model.point_logps().items()}
    {'k': -0.73, 'y': 3.89}
    """
    if fn is None:
        return partial(_WrappedFunction, derivatives=derivatives)
    return _WrappedFunction(fn, derivatives)


def flatten_call(
    where: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[FlatFunction, list[TensorVariable]]:
    """Split the arguments of a call into variables and what is static.

    Parameters
    ----------
    where : str
        For error messages.
    function : callable
        The JAX function.
    args, kwargs : tuple, dict
        Its arguments, in which PyTensor variables may stand.

    Returns
    -------
    function : FlatFunction
    variables : list of TensorVariable
        Its inputs.
    """
    leaves, treedef = jax.tree_util.tree_flatten((args, kwargs))
    variables, static = [], []
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, Variable | np.ndarray | np.generic | jax.Array):
            variables.append(as_tensor_variable(_host(leaf)))
        else:
            static.append((position, ByValue(leaf, where)))
    structure = TreeStructure(treedef)
    return FlatFunction(ByValue(function, where), structure, tuple(static)), variables


def _host(leaf: Any) -> Any:
    return np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf


class Result(NamedTuple):
    """What a function returns besides arrays."""

    structure: TreeStructure
    static: tuple[tuple[int, Any], ...]


@lru_cache(maxsize=1024)
def describe_result(where: str, function: FlatFunction, inputs: tuple[InputLayout, ...]) -> Result:
    """Trace a function; return the structure of its result.

    Parameters
    ----------
    where : str
        For error messages.
    function : FlatFunction
    inputs : tuple of (dtype, shape)
        Shapes may hold None.

    Raises
    ------
    FunctionError
        If the function fails.
    """
    found = []

    def trace(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        results, structure, static = function.with_structure(*arrays)
        found.append(Result(structure, static))
        return results

    try:
        evaluate_shapes(trace, inputs)
    except Exception as error:
        raise trace_error(where, error, inputs) from error
    return found[-1]


def trace_error(where: str, error: Exception, inputs: tuple[InputLayout, ...]) -> FunctionError:
    """Say what a function did with traced arrays that JAX cannot do."""
    shapes = ", ".join(f"{dtype}{_readable(shape)}" for dtype, shape in inputs)
    suggestion = None
    problem = "the function fails on arrays of the given shapes."
    if isinstance(error, jax.errors.TracerArrayConversionError):
        problem = "the function uses NumPy, or something built on it, on JAX arrays."
        suggestion = "jax.numpy (import jax.numpy as jnp) in the place of numpy"
    elif isinstance(
        error, jax.errors.ConcretizationTypeError | jax.errors.NonConcreteBooleanIndexError
    ):
        problem = "the function needs the value of an argument while it is compiled."
        suggestion = (
            "a Python number for what is a shape, an axis or a condition; "
            "jnp.where or jax.lax.cond in the place of if"
        )
    lines = str(error).strip().splitlines()
    got = f"{type(error).__name__}: {lines[0] if lines else ''}"
    return FunctionError(
        compose_message(
            where,
            problem,
            got=f"{got:.200}",
            expected=f"a function of {shapes or 'no arrays'}",
            suggestion=suggestion,
        )
    )


def _readable(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if n is None else str(n) for n in shape) + "]"
