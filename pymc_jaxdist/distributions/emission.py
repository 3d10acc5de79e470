"""Unregistered PyMC distributions as emission densities: their parameters, log-density, draws."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pymc as pm
from pymc.distributions.distribution import SymbolicRandomVariable, support_point
from pymc.distributions.shape_utils import change_dist_size
from pymc.logprob.utils import local_check_parameter_to_ninf_switch
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.shape import Shape, Shape_i
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.errors import DistributionError, compose_message
from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.ops import InnerGraph
from pymc_jaxdist.ops.compat import dfs_rewriter

__all__ = ["EmissionDistribution"]

# Larger constants (covariate effects computed outside the model) stay inputs of the kernel:
# baked into the compiled program they would slow its compilation.
LARGEST_BAKED_CONSTANT = 256

# Stands for the generators of distributions of which only a shape is asked: nothing is drawn.
UNUSED_GENERATOR = np.random.default_rng(0)


class EmissionDistribution:
    """An unregistered PyMC distribution, cut at its parameters.

    Parameters
    ----------
    distribution : TensorVariable
        What ``pm.Normal.dist(...)`` and its kind return. Its batch shape broadcasts against
        ``(..., T, K)``.
    where : str
        The distribution that holds it, for error messages.

    Attributes
    ----------
    parameters : list of TensorVariable
        The variables at which the graph of the log-density is cut.
    event_ndim : int
        0 for a univariate, 1 for a multivariate distribution.
    discrete : bool
        Whether draws are integers.
    """

    def __init__(self, distribution: Any, where: str) -> None:
        _refuse_non_distributions(distribution, where)
        self.event_ndim: int = distribution.owner.op.ndim_supp
        self.discrete: bool = distribution.dtype.startswith(("int", "uint", "bool"))
        self.batch_shape: tuple[int | None, ...] = distribution.type.shape[
            : distribution.type.ndim - self.event_ndim
        ]
        self.event_shape: tuple[int | None, ...] = distribution.type.shape[
            distribution.type.ndim - self.event_ndim :
        ]
        value = self._value(distribution, batch_ndim=1)
        self.parameters = _parameters(distribution, pm.logp(distribution, value), value)
        self._placeholders: list[Variable] = [p.type() for p in self.parameters]
        self._template: TensorVariable = _substitute(
            distribution, dict(zip(self.parameters, self._placeholders, strict=True))
        )
        self._kernels: dict[tuple, Emission] = {}

    def kernel(self, batch_ndim: int, parameters: Sequence[TensorVariable]) -> Emission:
        """Return the emission density as part of a JAX kernel.

        Parameters
        ----------
        batch_ndim : int
            Dimensions of the observations without that of a multivariate event.
        parameters : sequence of TensorVariable
            Variables in the place of `parameters`, of the same or a larger rank.
        """
        key = (batch_ndim, *(p.type for p in parameters))
        if key not in self._kernels:
            inputs, outputs = self._log_density(batch_ndim, parameters)
            self._kernels[key] = Emission(
                log_density=InnerGraph(inputs, outputs),
                finite_slope_log_density=InnerGraph(inputs, outputs, finite_derivatives=True),
                n_parameters=len(parameters),
                event_ndim=self.event_ndim,
                discrete=self.discrete,
            )
        return self._kernels[key]

    def _log_density(
        self, batch_ndim: int, parameters: Sequence[TensorVariable]
    ) -> tuple[list[Variable], list[Variable]]:
        """Return the graph of the log-density: a value and parameters in, a tensor out."""
        placeholders = [p.type() for p in parameters]
        distribution = self._with(placeholders)
        value = self._value(distribution, batch_ndim)
        log_density = pm.logp(distribution, value)
        generators = [v for v in graph_inputs([log_density]) if isinstance(v.type, RandomType)]
        log_density = _substitute(
            log_density, {v: Constant(v.type, UNUSED_GENERATOR) for v in generators}
        )
        graph = FunctionGraph([value, *placeholders], [log_density], clone=True)
        dfs_rewriter(local_check_parameter_to_ninf_switch).rewrite(graph)
        if generators:  # put the shapes themselves in the place of what is asked for its shape
            rewrite_graph(graph, include=("ShapeOpt", "canonicalize"), clone=False)
        return graph.inputs, graph.outputs

    def draw(self, parameters: Sequence[TensorVariable], size: Sequence[Any]) -> TensorVariable:
        """Return a random draw of batch shape ``size`` as a graph."""
        return change_dist_size(self._with(parameters), tuple(size))

    def support_point(self, parameters: Sequence[TensorVariable]) -> TensorVariable:
        """Return a value inside the support for each batch entry."""
        return support_point(self._with(parameters))

    def _with(self, parameters: Sequence[Variable]) -> TensorVariable:
        return _substitute(self._template, dict(zip(self._placeholders, parameters, strict=True)))

    def _value(self, distribution: TensorVariable, batch_ndim: int) -> TensorVariable:
        """Return an observation variable with an axis for the states: ``(..., T, 1[, D])``."""
        dtype = "int64" if self.discrete else distribution.dtype
        shape = (*[None] * batch_ndim, 1, *[None] * self.event_ndim)
        return TensorType(dtype, shape=shape)()


def _refuse_non_distributions(distribution: Any, where: str) -> None:
    example = "emission=pm.Normal.dist(mu, sigma)"
    if not isinstance(distribution, TensorVariable):
        raise DistributionError(
            compose_message(
                where,
                "emission must be an unregistered PyMC distribution, or a tuple of them.",
                got=f"{type(distribution).__name__}: {distribution!r:.60}",
                suggestion=example,
            )
        )
    model = pm.Model.get_context(error_if_none=False)
    if model is not None and any(distribution is v for v in model.named_vars.values()):
        raise DistributionError(
            compose_message(
                where,
                "emission must not be a variable of the model.",
                got=f"the model variable '{distribution.name}'",
                expected="a distribution that is not registered, made by .dist()",
                suggestion=example,
            )
        )
    if not _is_random(distribution):
        raise DistributionError(
            compose_message(
                where,
                "emission must be a distribution, not an expression.",
                got=f"{distribution!r:.60}, the result of {distribution.owner}",
                suggestion=example,
            )
        )
    if distribution.owner.op.ndim_supp > 1:
        raise DistributionError(
            compose_message(
                where,
                "emission must be univariate or vector-valued.",
                got=f"a distribution of {distribution.owner.op.ndim_supp}-dimensional values",
            )
        )


def _is_random(variable: Variable) -> bool:
    return variable.owner is not None and isinstance(
        variable.owner.op, RandomVariable | SymbolicRandomVariable
    )


def _direct_inputs(distribution: TensorVariable) -> Iterator[Variable]:
    """Yield the parameters of a distribution and of the distributions it is made of."""
    op = distribution.owner.op
    has_size = isinstance(op, RandomVariable) or op.extended_signature is not None
    size = op.size_param(distribution.owner) if has_size else None
    for variable in distribution.owner.inputs:
        if variable is not size:
            yield variable
        if _is_random(variable):
            yield from _direct_inputs(variable)


def _parameters(
    distribution: TensorVariable, log_density: TensorVariable, value: TensorVariable
) -> list[TensorVariable]:
    """Find where the graph of a log-density leaves the distribution for the model around it."""
    boundary = set(_direct_inputs(distribution))
    parameters: list[TensorVariable] = []
    seen: set[Variable] = {value}

    def visit(variable: Variable, only_shape: bool = False) -> None:
        if variable in seen:
            return
        if not (only_shape and _is_random(variable)):
            seen.add(variable)
            if variable in boundary or _is_random(variable) or variable.owner is None:
                if not _is_baked(variable):
                    parameters.append(variable)
                return
        # The shape of a random variable follows from its parameters, not from a draw.
        asks_shape = isinstance(variable.owner.op, Shape | Shape_i)
        for x in variable.owner.inputs:
            visit(x, only_shape=asks_shape)

    visit(log_density)
    return [p for p in parameters if isinstance(p.type, TensorType)]


def _is_baked(variable: Variable) -> bool:
    """Tell whether a variable is a small constant, which becomes part of the compiled kernel."""
    roots = list(graph_inputs([variable]))
    return all(isinstance(x, Constant) for x in roots) and (
        sum(np.size(x.data) for x in roots) <= LARGEST_BAKED_CONSTANT
    )


def _substitute(variable: TensorVariable, replacements: dict[Variable, Variable]) -> TensorVariable:
    return clone_replace(variable, replace=replacements)
