"""The inputs of a variable's log-density for every draw of a posterior or prior."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pytensor.graph.basic import Apply
from pytensor.graph.traversal import ancestors

from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.ops import LogDensity

__all__ = ["find_log_density", "parameter_draws"]


def find_log_density(
    where: str, model: pm.Model, var_name: str, kernel: type, distribution: str
) -> Apply:
    """Find the log-density of a variable, as a function of the other model variables.

    Parameters
    ----------
    where : str
        For the error message.
    model : pm.Model
    var_name : str
    kernel : type
        Class of the kernel.
    distribution : str
        Name of the distribution that has such a kernel, for the error message.
    """
    rv = model.named_vars.get(var_name)
    value = model.rvs_to_values.get(rv)
    if rv in model.observed_RVs:
        for variable in ancestors([pm.logp(rv, value)]):
            node = variable.owner
            if (
                node is not None
                and isinstance(node.op, LogDensity)
                and isinstance(node.op.kernel, kernel)
            ):
                return node
    raise ParameterError(
        compose_message(
            where,
            f"the variable is not an observed {distribution} of the model.",
            got=f"'{var_name}'",
            expected="one of " + ", ".join(repr(rv.name) for rv in model.basic_RVs),
        )
    )


def parameter_draws(
    where: str, node: Apply, model: pm.Model, draws: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """Evaluate the inputs of a log-density, but the first, for every draw: arrays ``(S, ...)``.

    Parameters
    ----------
    where : str
        For the error message.
    node : Apply
        What `find_log_density` returned.
    model : pm.Model
    draws : dict of name to (S, ...) array
        Draws of free variables.
    """
    inputs = [rv for rv in model.free_RVs if rv.name in draws]
    needed = set(ancestors(node.inputs[1:], blockers=inputs))
    absent = [rv.name for rv in model.free_RVs if rv in needed and rv not in inputs]
    if absent:
        raise ParameterError(
            compose_message(
                where,
                "variables are missing on which the result depends.",
                got=f"no draws of {', '.join(absent)}",
                expected="draws of every free variable of the model",
            )
        )
    evaluate = pytensor.function(
        inputs, list(node.inputs[1:]), on_unused_input="ignore", mode="FAST_COMPILE"
    )
    flat = [np.asarray(draws[rv.name]).astype(rv.dtype) for rv in inputs]
    n_draws = len(next(iter(draws.values())))
    per_draw = [evaluate(*(values[s] for values in flat)) for s in range(n_draws)]
    return [np.stack(values) for values in zip(*per_draw, strict=True)]


def flat_draws(posterior: Any, names: list[str]) -> dict[str, np.ndarray]:
    """Return draws ``(S, ...)`` of the variables that a posterior holds."""
    return {
        name: posterior[name].values.reshape(-1, *posterior[name].shape[2:])
        for name in names
        if name in posterior
    }
