"""Parameters of a log-density for every posterior draw."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_jaxdist.errors import ParameterError, compose_message

__all__ = ["parameter_draws"]


def parameter_draws(
    where: str, parameters: Sequence[Variable], model: pm.Model, posterior: Any
) -> list[np.ndarray]:
    """Evaluate variables of a model for every posterior draw.

    Parameters
    ----------
    where : str
        For error messages.
    parameters : sequence of Variable
        Functions of the free variables of the model.
    model : pm.Model
    posterior : xarray.Dataset
        Draws of free variables.

    Returns
    -------
    list of array ``(chain * draw, ...)``
        Variables that are drawn themselves are not computed, only reshaped.

    Raises
    ------
    ParameterError
        If draws of a variable are missing.
    """
    drawn = [rv for rv in model.free_RVs if rv.name in posterior]
    needed = set(ancestors(list(parameters), blockers=drawn))
    absent = [rv.name for rv in model.free_RVs if rv in needed and rv not in drawn]
    if absent:
        raise ParameterError(
            compose_message(
                where,
                "the posterior lacks variables on which the result depends.",
                got=f"no draws of {', '.join(absent)}",
                expected="draws of every free variable of the model",
            )
        )
    flat = {
        rv: posterior[rv.name].values.reshape(-1, *posterior[rv.name].shape[2:]).astype(rv.dtype)
        for rv in drawn
    }
    n_draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    computed = [p for p in parameters if p not in flat]
    columns = {}
    if computed:
        evaluate = pytensor.function(drawn, computed, on_unused_input="ignore", mode="FAST_COMPILE")
        constant = not set(ancestors(computed)).intersection(drawn)
        draws = range(1 if constant else n_draws)
        rows = [evaluate(*(flat[rv][s] for rv in drawn)) for s in draws]
        columns = dict(zip(computed, zip(*rows, strict=True), strict=True))

    def draws_of(parameter: Variable) -> np.ndarray:
        if parameter in flat:
            return flat[parameter]
        values = np.stack(columns[parameter])
        return np.broadcast_to(values, (n_draws, *values.shape[1:]))

    return [draws_of(p) for p in parameters]
