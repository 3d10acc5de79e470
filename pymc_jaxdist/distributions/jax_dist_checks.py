"""What can be wrong with a user's log-density, found before sampling."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor
from pymc.initial_point import make_initial_point_expression
from pytensor.compile.mode import Mode
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.unit_signature import UnitSignature
from pymc_jaxdist.errors import DataError, FunctionError, ParameterError, compose_message
from pymc_jaxdist.kernels.units import UnitLogDensity
from pymc_jaxdist.ops import kernel_calls
from pymc_jaxdist.ops.by_value import ByValue
from pymc_jaxdist.ops.output_layout import TRIAL_LENGTHS, evaluate_shapes
from pymc_jaxdist.ops.precision import double_precision
from pymc_jaxdist.ops.wrapped_function import trace_error

__all__ = ["check_function", "check_gradient", "check_missing"]


def check_function(
    where: str,
    function: ByValue,
    signature: UnitSignature,
    lengths: dict[str, int | None],
    dtypes: Sequence[str],
) -> None:
    """Trace a log-density of one unit: it must run in JAX and return one number.

    Parameters
    ----------
    where : str
    function : ByValue
    signature : UnitSignature
    lengths : dict
        Of core dimensions, None where unknown.
    dtypes : sequence of str
        Types of value and parameters.

    Raises
    ------
    FunctionError
    """
    cores = (signature.value, *signature.parameters)
    errors: list[tuple[Exception, tuple[Any, ...]]] = []
    for trial in TRIAL_LENGTHS:
        inputs = tuple(
            (dtype, tuple(lengths[n] if lengths.get(n) is not None else trial for n in names))
            for dtype, names in zip(dtypes, cores, strict=True)
        )
        try:
            result, _ = evaluate_shapes(function, inputs)
        except Exception as error:
            errors.append((error, inputs))
            continue
        _check_result(where, result, inputs)
        return
    first, inputs = errors[0]
    raise trace_error(f"{where}: logp", first, inputs) from first


def _check_result(where: str, result: Any, inputs: Sequence[Any]) -> None:
    is_one_array = isinstance(result, jax.ShapeDtypeStruct)
    if is_one_array and result.shape == () and np.issubdtype(result.dtype, np.floating):
        return
    got = f"shape {result.shape}, {result.dtype}" if is_one_array else f"{type(result).__name__}"
    shapes = ", ".join(str(shape) for _, shape in inputs)
    raise FunctionError(
        compose_message(
            where,
            "logp must return one number for one unit.",
            got=f"{got}  from value and parameters of shapes {shapes}",
            expected="shape ()",
            suggestion="jnp.sum(...) over what belongs to one unit, or another signature",
        )
    )


def check_missing(where: str, data: np.ndarray | None, policy: str) -> None:
    """Refuse NaN in data unless the user has said what to do about it."""
    if policy not in {"error", "skip", "pass"}:
        raise ParameterError(
            compose_message(
                where,
                "missing is not a known choice.",
                got=repr(policy),
                expected='"error", "skip" or "pass"',
            )
        )
    if policy == "error" and data is not None and data.dtype.kind == "f":
        n_missing = int(np.isnan(data).sum())
        if n_missing:
            raise DataError(
                compose_message(
                    where,
                    "observed holds missing values.",
                    got=f"NaN in {n_missing} of {data.size} entries",
                    suggestion='missing="skip" (units with NaN have log-density 0), or '
                    'missing="pass" (logp is written for NaN)',
                )
            )


def check_gradient(
    where: str, kernel: UnitLogDensity, value: TensorVariable, parameters: Sequence[TensorVariable]
) -> None:
    """Refuse a log-density whose gradient is NaN where sampling starts.

    Parameters
    ----------
    where : str
    kernel : UnitLogDensity
    value : TensorVariable
        Observed data.
    parameters : sequence of TensorVariable
        Variables of the model in context.

    Raises
    ------
    ParameterError
        Naming the parameter.
    """
    model = pm.Model.get_context(error_if_none=False)
    if model is None:
        return
    needed = set(ancestors(parameters))
    free = [rv for rv in model.free_RVs if rv in needed]
    if not free:
        return
    starts = make_initial_point_expression(
        free_rvs=model.free_RVs,
        rvs_to_transforms={},
        initval_strategies=dict(model.rvs_to_initial_values),
    )
    at_start = dict(zip(model.free_RVs, starts, strict=True))
    graphs = clone_replace([value, *parameters], {rv: at_start[rv] for rv in free})
    mode = Mode(linker="py", optimizer="fast_compile")
    point = pytensor.function([], graphs, mode=mode, on_unused_input="ignore")()
    differentiable = tuple(i for i, x in enumerate(point) if np.asarray(x).dtype.kind == "f")
    moving = tuple(
        i
        for i in differentiable
        if i > 0 and set(ancestors([parameters[i - 1]])).intersection(free)
    )
    with double_precision():
        _, *gradients = kernel_calls.value_and_gradients(kernel, differentiable, moving)(*point)
    for position, gradient in zip(moving, gradients, strict=True):
        undefined = int(np.isnan(gradient).sum())
        if undefined:
            parameter = parameters[position - 1]
            raise ParameterError(
                compose_message(
                    where,
                    "the gradient of logp is NaN at the initial point.",
                    got=f"NaN in {undefined} of {gradient.size} derivatives with respect to "
                    f"'{parameter.name or f'parameter {position}'}' at "
                    f"{np.array2string(np.asarray(point[position]), threshold=6)}",
                    expected="a number",
                    suggestion="in jnp.where(ok, f(x), 0) also f(jnp.where(ok, x, 1)): the branch "
                    "not taken is differentiated too",
                )
            )
