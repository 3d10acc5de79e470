"""Whether an argument is an unregistered PyMC distribution that can have a log-density."""

from typing import Any

import numpy as np
import pymc as pm
from pymc.logprob.utils import CheckParameterValue
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import known_value
from pymc_jaxdist.distributions.distribution_parameters import is_random
from pymc_jaxdist.errors import DistributionError, ParameterError, compose_message

__all__ = ["refuse_impossible_constants", "refuse_nan", "refuse_non_distributions"]

_EXAMPLES = {"likelihood": "lambda y: pm.Normal.dist(y, sigma)"}


def refuse_non_distributions(distribution: Any, where: str, argument: str) -> None:
    """Raise unless an argument is what ``.dist()`` of a distribution returned."""
    example = f"{argument}={_EXAMPLES.get(argument, 'pm.Normal.dist(mu, sigma)')}"
    if not isinstance(distribution, TensorVariable):
        raise DistributionError(
            compose_message(
                where,
                f"{argument} must be an unregistered PyMC distribution, or a tuple of them.",
                got=f"{type(distribution).__name__}: {distribution!r:.60}",
                suggestion=example,
            )
        )
    model = pm.Model.get_context(error_if_none=False)
    while model is not None and model.parent is not None:
        model = model.parent
    if model is not None and any(distribution is v for v in model.named_vars.values()):
        raise DistributionError(
            compose_message(
                where,
                f"{argument} must not be a variable of the model.",
                got=f"the model variable '{distribution.name}'",
                expected="a distribution that is not registered, made by .dist()",
                suggestion=example,
            )
        )
    if not is_random(distribution):
        raise DistributionError(
            compose_message(
                where,
                f"{argument} must be a distribution, not an expression.",
                got=f"{distribution!r:.60}, the result of {distribution.owner}",
                suggestion=example,
            )
        )
    if distribution.owner.op.ndim_supp > 1:
        raise DistributionError(
            compose_message(
                where,
                f"{argument} must be univariate or vector-valued.",
                got=f"a distribution of {distribution.owner.op.ndim_supp}-dimensional values",
            )
        )


def refuse_nan(parameter: TensorVariable, where: str, argument: str) -> None:
    """Raise if a parameter is known and holds NaN."""
    value = known_value(parameter)
    if value is not None and value.dtype.kind == "f" and np.isnan(value).any():
        raise ParameterError(
            compose_message(
                where,
                f"a parameter of the {argument} is NaN.",
                got=f"NaN in {parameter.name or 'a constant'} of shape {value.shape}",
                expected="numbers",
            )
        )


def refuse_impossible_constants(log_density: Variable, where: str, argument: str) -> None:
    """Raise if constant parameters break a condition PyMC puts on them, such as sigma > 0."""
    for variable in ancestors([log_density]):
        if variable.owner is None or not isinstance(variable.owner.op, CheckParameterValue):
            continue
        conditions = (known_value(condition) for condition in variable.owner.inputs[1:])
        if any(met is not None and not np.all(met) for met in conditions):
            raise ParameterError(
                compose_message(
                    where,
                    f"a parameter of the {argument} is outside its domain.",
                    got=f"constants that break the condition {variable.owner.op.msg}",
                )
            )
