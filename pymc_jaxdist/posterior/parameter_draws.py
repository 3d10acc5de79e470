"""The log-density of a variable, and what it depends on for every draw of a posterior or prior."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor import as_tensor_variable

from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message
from pymc_jaxdist.ops import LogDensity

__all__ = ["find_log_density", "flat_draws", "parameter_draws"]


def find_log_density(
    where: str,
    model: pm.Model,
    var_name: str,
    kernels: type | tuple[type, ...],
    distribution: str,
) -> Apply:
    """Find the log-density of a variable, as a function of the other model variables.

    Parameters
    ----------
    where : str
        For the error message.
    model : pm.Model
        The model.
    var_name : str
        Name of the variable.
    kernels : type or tuple of types
        Classes of the kernel.
    distribution : str
        Name of the distribution that has such a kernel, for the error message.

    Returns
    -------
    Apply
        The node of the one Op.

    Raises
    ------
    ParameterError
        If the variable is not an observed one with such a kernel.
    """
    rv = model.named_vars.get(var_name)
    if rv in model.observed_RVs:
        node = _log_density_node(model, rv, kernels)
        if node is not None:
            return node
    observed = [
        rv.name for rv in model.observed_RVs if _log_density_node(model, rv, kernels) is not None
    ]
    raise ParameterError(
        compose_message(
            where,
            f"the variable is not an observed {distribution} of the model.",
            got=f"'{var_name}'",
            expected=("one of " + ", ".join(map(repr, observed))) if observed else None,
        )
    )


def _log_density_node(
    model: pm.Model, rv: Variable, kernels: type | tuple[type, ...]
) -> Apply | None:
    for variable in ancestors([pm.logp(rv, model.rvs_to_values[rv])]):
        node = variable.owner
        is_log_density = node is not None and isinstance(node.op, LogDensity)
        if is_log_density and isinstance(node.op.kernel, kernels):
            return node
    return None


def flat_draws(model: pm.Model, posterior: Any) -> dict[str, np.ndarray]:
    """Return draws ``(S, ...)`` of the free variables that a posterior holds.

    Parameters
    ----------
    model : pm.Model
        The model.
    posterior : xarray.Dataset or DataTree
        Draws ``(chain, draw, ...)``.
    """
    return {
        rv.name: posterior[rv.name].values.reshape(-1, *posterior[rv.name].shape[2:])
        for rv in model.free_RVs
        if rv.name in posterior
    }


def parameter_draws(
    where: str,
    parameters: Sequence[Variable],
    model: pm.Model,
    draws: dict[str, np.ndarray],
    data: dict[str, Any] | None = None,
) -> list[np.ndarray]:
    """Evaluate variables of a model for every draw.

    Parameters
    ----------
    where : str
        For error messages.
    parameters : sequence of Variable
        Functions of the free variables of the model.
    model : pm.Model
        The model.
    draws : dict of name to (S, ...) array
        Draws of the free variables.
    data : dict of name to array_like, optional
        Other values for variables made by ``pm.Data``.

    Returns
    -------
    list of array ``(S, ...)``
        Variables that are drawn themselves are not computed, only passed on.

    Raises
    ------
    ParameterError
        If draws of a variable are missing, or data of the model do not exist.
    """
    drawn = [rv for rv in model.free_RVs if rv.name in draws]
    needed = set(ancestors(list(parameters), blockers=drawn))
    absent = [rv.name for rv in model.free_RVs if rv in needed and rv not in drawn]
    if absent:
        raise ParameterError(
            compose_message(
                where,
                "draws are missing of variables on which the result depends.",
                got=f"no draws of {', '.join(absent)}",
                expected="draws of every free variable of the model",
            )
        )
    flat = {rv: np.asarray(draws[rv.name]).astype(rv.dtype) for rv in drawn}
    n_draws = len(next(iter(draws.values()))) if draws else 0
    computed = [p for p in parameters if p not in flat]
    columns = {}
    if computed:
        evaluate = pytensor.function(
            drawn,
            computed,
            givens=_replaced_data(where, model, data or {}),
            on_unused_input="ignore",
            mode="FAST_COMPILE",
        )
        constant = not set(ancestors(computed)).intersection(drawn)
        rows = [evaluate(*(flat[rv][s] for rv in drawn)) for s in range(1 if constant else n_draws)]
        columns = dict(zip(computed, zip(*rows, strict=True), strict=True))

    def draws_of(parameter: Variable) -> np.ndarray:
        if parameter in flat:
            return flat[parameter]
        values = np.stack(columns[parameter])
        return np.broadcast_to(values, (n_draws, *values.shape[1:]))

    return [draws_of(p) for p in parameters]


def _replaced_data(where: str, model: pm.Model, data: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return pairs of data of a model and other values for them."""
    replaced = []
    for name, value in data.items():
        variable = model.named_vars.get(name)
        if not isinstance(variable, SharedVariable):
            known = [v.name for v in model.data_vars]
            raise ParameterError(
                compose_message(
                    where,
                    "data must name variables made by pm.Data.",
                    got=repr(name),
                    expected="one of " + ", ".join(map(repr, known)) if known else "pm.Data",
                )
            )
        array = np.asarray(value, dtype=variable.type.dtype)
        if array.ndim != variable.type.ndim:
            raise ShapeError(
                compose_message(
                    where,
                    f"data['{name}'] must have as many dimensions as in the model.",
                    got=str(array.shape),
                    expected=f"{variable.type.ndim} dimensions",
                )
            )
        replaced.append((variable, as_tensor_variable(array)))
    return replaced
