"""Observations of a differential equation as PyMC sees them: log-density and random draws."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.utils import safe_signature
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.ode_likelihood import Likelihood
from pymc_jaxdist.kernels.ode.equation import Equation
from pymc_jaxdist.kernels.ode.log_likelihood import ODELogLikelihood, ODESolution
from pymc_jaxdist.ops import log_density
from pymc_jaxdist.ops.processes import prepare_process_starts

__all__ = ["ODEModel", "solution_graph"]


def solution_graph(
    equation: Equation, arguments: Sequence[TensorVariable], seen_shape: tuple[int, ...]
) -> TensorVariable:
    """Return what is seen of a solution, as a variable with gradients.

    Parameters
    ----------
    equation : Equation
    arguments : sequence of TensorVariable
        Those of the equation.
    seen_shape : tuple of int
        The dimensions after that of time: ``(n,)``, or ``()`` if one number is seen.
    """
    batch = [
        pt.zeros(tuple(x.shape)[: equation.batch_ndim])
        for x, argument in zip(arguments, equation.arguments, strict=True)
        if argument.batched
    ]
    lead = sum(batch[1:], start=batch[0]) if batch else pt.zeros((1,) * equation.batch_ndim)
    times = arguments[2]
    zeros = pt.zeros((times.shape[-1], *seen_shape))
    template = pt.shape_padright(lead, zeros.type.ndim) + zeros
    return log_density(
        ODESolution(equation),
        template,
        *arguments,
        batch_ndim=template.type.ndim,
        constant=(0, *constant_positions(equation)),
    )


def constant_positions(equation: Equation) -> list[int]:
    """Return the positions, after a first input, of arguments without gradients."""
    return [1 + i for i, a in enumerate(equation.arguments) if not a.differentiable]


@dataclass(frozen=True)
class ODEModel:
    """What PyMC needs to know of an observed differential equation.

    Its parameters come in this order: ``y0``, ``t0``, ``times``, the leaves of ``params``, then
    those of the likelihood. It holds no variable of the model itself.

    Attributes
    ----------
    equation : Equation
    likelihood : Likelihood
    seen_shape : tuple of int
        What is seen of the states at one time.
    may_be_missing : bool
        Whether NaN in the observations means missing.
    dtype : str
        Of draws and observations.
    ndim : int
        Number of dimensions of the variable.
    """

    equation: Equation
    likelihood: Likelihood
    seen_shape: tuple[int, ...]
    may_be_missing: bool
    dtype: str
    ndim: int

    def __post_init__(self) -> None:
        # pm.sample chooses how to start its processes before it asks for the log-density.
        prepare_process_starts()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        prepare_process_starts()

    def core_signature(self, n_parameters: int) -> str:
        """Return the dimensions that belong to one draw, those of parameters and of the draw."""
        return str(safe_signature([0] * n_parameters, [self.likelihood.event_ndim]))

    def kernel(self, n_dims: int, likelihood_parameters: Sequence[Variable]) -> ODELogLikelihood:
        """Return the JAX function of the log-likelihood."""
        return ODELogLikelihood(
            equation=self.equation,
            may_be_missing=self.may_be_missing,
            **self.likelihood.kernel_parts(n_dims, likelihood_parameters),
        )

    def logp(self, value: TensorVariable, *parameters: TensorVariable) -> TensorVariable:
        """Return one log-density per observation."""
        arguments, rest = self.split(parameters)
        constant = constant_positions(self.equation)
        if isinstance(value, Constant):
            constant.append(0)
        return log_density(
            self.kernel(value.type.ndim, rest),
            value,
            *arguments,
            *rest,
            batch_ndim=value.type.ndim - self.likelihood.event_ndim,
            constant=constant,
        )

    def seen(self, arguments: Sequence[TensorVariable]) -> TensorVariable:
        """Return what is seen of the solution."""
        return solution_graph(self.equation, arguments, self.seen_shape)

    def draw(self, *parameters_and_size: Any) -> TensorVariable:
        """Return a random draw as a graph: the solution, then what is observed of it."""
        *parameters, size = parameters_and_size
        if isinstance(size, Constant) and size.data is None:
            # PyMC asks once without a size, only to learn the number of dimensions.
            return pt.cast(pm.Uniform.dist(size=(1,) * self.ndim), self.dtype)
        arguments, rest = self.split(parameters)
        seen = self.seen(arguments)
        size = tuple(size)
        if self.likelihood.event_ndim:
            size = (*size, *self.likelihood.emissions[0].event_shape)
        return pt.cast(self.likelihood.draw(seen, rest, size), self.dtype)

    def support_point(
        self, rv: TensorVariable, size: Any, *parameters: TensorVariable
    ) -> TensorVariable:
        """Return observations inside the support."""
        arguments, rest = self.split(parameters)
        point = self.likelihood.support_point(self.seen(arguments), rest)
        return pt.cast(pt.broadcast_to(point, rv.shape), self.dtype)

    def split(self, parameters: Sequence[Any]) -> tuple[list[TensorVariable], list[TensorVariable]]:
        """Return the arguments of the equation and the parameters of the likelihood."""
        n = self.equation.n_arguments
        return list(parameters[:n]), list(parameters[n : n + self.likelihood.n_parameters])

    def with_equation(self, **changes: Any) -> "ODEModel":
        """Return the same model with another equation."""
        return replace(self, equation=replace(self.equation, **changes))
