"""The variable of a model that observes a differential equation."""

import pymc as pm

from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.kernels.ode.log_likelihood import ODELogLikelihood
from pymc_jaxdist.posterior.parameter_draws import find_log_density

__all__ = ["is_ode_variable", "only_ode_variable"]


def is_ode_variable(model: pm.Model, var_name: str) -> bool:
    """Tell whether a variable is an observed `ODEObserved`."""
    try:
        find_log_density("", model, var_name, ODELogLikelihood, "ODEObserved")
    except ParameterError:
        return False
    return True


def only_ode_variable(where: str, model: pm.Model) -> str:
    """Return the name of the one `ODEObserved` variable of a model.

    Raises
    ------
    ParameterError
        If there are none, or several.
    """
    names = [rv.name for rv in model.observed_RVs if is_ode_variable(model, rv.name)]
    if len(names) == 1:
        return names[0]
    raise ParameterError(
        compose_message(
            where,
            "the model must have one ODEObserved variable, or var_name say which.",
            got=", ".join(names) or "none",
        )
    )
