"""The variable of a model that observes a differential equation."""

import pymc as pm

from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.kernels.ode.log_likelihood import ODELogLikelihood
from pymc_jaxdist.posterior.parameter_draws import find_log_density

__all__ = ["only_ode_variable"]


def only_ode_variable(where: str, model: pm.Model) -> str:
    """Return the name of the one `ODEObserved` variable of a model.

    Raises
    ------
    ParameterError
        If there are none, or several.
    """
    names = []
    for rv in model.observed_RVs:
        try:
            find_log_density(where, model, rv.name, ODELogLikelihood, "ODEObserved")
        except ParameterError:
            continue
        names.append(rv.name)
    if len(names) == 1:
        return names[0]
    raise ParameterError(
        compose_message(
            where,
            "the model must have one ODEObserved variable, or var_name say which.",
            got=", ".join(names) or "none",
        )
    )
