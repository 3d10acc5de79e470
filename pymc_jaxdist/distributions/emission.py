"""Unregistered PyMC distributions as emission densities: their parameters, log-density, draws."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pymc.distributions.custom import CustomSymbolicDistRV
from pymc.distributions.distribution import support_point
from pymc.distributions.shape_utils import change_dist_size
from pymc.logprob.utils import local_check_parameter_to_ninf_switch
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import graph_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, graph_inputs
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.any_emission import AnyEmission
from pymc_jaxdist.distributions.distribution_checks import (
    refuse_impossible_constants,
    refuse_nan,
    refuse_non_distributions,
)
from pymc_jaxdist.distributions.distribution_parameters import (
    direct_parameters,
    is_baked,
    is_random,
    reached_parameters,
    substitute,
    widened_constants,
)
from pymc_jaxdist.distributions.hidden_markov_draw import select_state
from pymc_jaxdist.distributions.logarithms import components_under_logarithms
from pymc_jaxdist.errors import DistributionError, compose_message
from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.ops import InnerGraph
from pymc_jaxdist.ops.compat import dfs_rewriter

__all__ = ["EmissionDistribution"]

# Stands for the generators of distributions of which only a shape is asked: nothing is drawn.
UNUSED_GENERATOR = np.random.default_rng(0)


class EmissionDistribution(AnyEmission):
    """An unregistered PyMC distribution, cut off from the model around it at its parameters.

    Made by `cut`; holds no variable of the model.
    """

    memory = 1
    memoryless = True

    def __init__(self, template: TensorVariable, placeholders: Sequence[Variable]) -> None:
        self._template = template
        self._placeholders = list(placeholders)
        self._kernels: dict[tuple[Any, ...], Emission] = {}
        self.n_parameters = len(self._placeholders)
        self.event_ndim: int = template.owner.op.ndim_supp
        self.discrete: bool = template.dtype.startswith(("int", "uint", "bool"))
        n_batch = template.type.ndim - self.event_ndim
        self.batch_shape: tuple[int | None, ...] = template.type.shape[:n_batch]
        self.event_shape: tuple[int | None, ...] = template.type.shape[n_batch:]

    @classmethod
    def cut(
        cls, distribution: Any, where: str, argument: str = "emission"
    ) -> tuple["EmissionDistribution", list[TensorVariable]]:
        """Cut a distribution off at its parameters.

        Parameters
        ----------
        distribution : TensorVariable
            What ``pm.Normal.dist(...)`` and its kind return. Its batch shape broadcasts against
            ``(..., T, K)``.
        where : str
            The distribution that holds it, for error messages.
        argument : str
            The argument it was given as, for error messages.

        Returns
        -------
        emission : EmissionDistribution
        parameters : list of TensorVariable
            The variables of the model at which it was cut, in the order in which `kernel` and
            `draw` expect them or others in their place.
        """
        refuse_non_distributions(distribution, where, argument)
        direct = [p for p in direct_parameters(distribution) if not is_baked(p)]
        for p in direct_parameters(distribution):
            refuse_nan(p, where, argument)
        placeholders = [p.type() for p in direct]
        template = substitute(distribution, dict(zip(direct, placeholders, strict=True)))

        # Shapes may still be asked of what the direct parameters were computed from.
        outside = set(ancestors(direct))
        log_density = _at_a_value(pm.logp, template, 1)[1]
        refuse_impossible_constants(log_density, where, argument)
        extra = reached_parameters(log_density, outside)
        extra_placeholders = [p.type() for p in extra]
        template = substitute(template, dict(zip(extra, extra_placeholders, strict=True)))
        return cls(template, [*placeholders, *extra_placeholders]), [*direct, *extra]

    def kernel(
        self, batch_ndim: int, parameters: Sequence[TensorVariable], per_state: bool = True
    ) -> Emission:
        """Return the emission density as part of a JAX kernel.

        Parameters
        ----------
        batch_ndim, parameters
            As for `AnyEmission.kernel`.
        per_state : bool
            Whether the parameters have an axis for the states of a Markov chain.
        """
        key = (batch_ndim, per_state, *(p.type for p in parameters))
        if key not in self._kernels:
            inputs, outputs = self._graph(pm.logp, batch_ndim, parameters, per_state)
            self._kernels[key] = Emission(
                log_density=InnerGraph(inputs, outputs),
                finite_slope_log_density=InnerGraph(inputs, outputs, finite_derivatives=True),
                n_parameters=len(parameters),
                event_ndim=self.event_ndim,
                discrete=self.discrete,
                per_state=per_state,
            )
        return self._kernels[key]

    def log_density(self, value: Any, parameters: Sequence[TensorVariable]) -> TensorVariable:
        """Return the log-density of a value that broadcasts against the parameters, as a graph."""
        return pm.logp(self.at(parameters), value)

    def components_under_logarithms(
        self, parameters: Sequence[TensorVariable], variable: TensorVariable, n_components: int
    ) -> set[int]:
        """Return the components of a variable whose logarithm the log-density depends on."""
        _, log_density = _at_a_value(pm.logp, self.at(parameters), 1)
        return components_under_logarithms(log_density, variable, n_components)

    def log_cdf(
        self, batch_ndim: int, parameters: Sequence[TensorVariable], per_state: bool = True
    ) -> InnerGraph:
        """Return the logarithm of the cumulative distribution function; arguments of `kernel`."""
        return InnerGraph(*self._graph(pm.logcdf, batch_ndim, parameters, per_state))

    def _graph(
        self,
        function: Callable[..., TensorVariable],
        batch_ndim: int,
        parameters: Sequence[TensorVariable],
        per_state: bool = True,
    ) -> tuple[list[Variable], list[Variable]]:
        """Return the graph of ``pm.logp`` or its kin: a value and parameters in, a tensor out."""
        placeholders = [p.type() for p in parameters]
        value, log_density = _at_a_value(function, self.at(placeholders), batch_ndim, per_state)
        return self.finish([value, *placeholders], log_density)

    def finish(
        self, inputs: Sequence[Variable], log_density: TensorVariable
    ) -> tuple[list[Variable], list[Variable]]:
        """Make the graph of a log-density ready to become a JAX function.

        Parameters
        ----------
        inputs : sequence of Variable
            All that it depends on.
        log_density : TensorVariable
            What `pymc.logp` returned.

        Returns
        -------
        inputs, outputs : list of Variable
            Of a copy, in which values outside the domain of a parameter give ``-inf``.
        """
        generators = [v for v in graph_inputs([log_density]) if isinstance(v.type, RandomType)]
        # As inputs: a draw with a constant generator would be folded into a constant itself.
        stand_ins = {v: v.type() for v in generators}
        log_density = substitute(log_density, {**stand_ins, **widened_constants(log_density)})
        graph = FunctionGraph([*inputs, *stand_ins.values()], [log_density], clone=True)
        dfs_rewriter(local_check_parameter_to_ninf_switch).rewrite(graph)
        if generators:  # put the shapes themselves in the place of what is asked for its shape
            rewrite_graph(graph, include=("ShapeOpt", "canonicalize"), clone=False)
        if any(is_random(output) for node in graph.apply_nodes for output in node.outputs):
            raise DistributionError(
                compose_message(
                    "emission",
                    "its log-density depends on a random draw.",
                    got=f"{self._template.owner.op}",
                    expected="parameters that are variables of the model, constants or data",
                )
            )
        own, unused = graph.inputs[: len(inputs)], graph.inputs[len(inputs) :]
        constants = {v: Constant(v.type, UNUSED_GENERATOR) for v in unused}
        return own, [substitute(output, constants) for output in graph.outputs]

    def draw(self, parameters: Sequence[TensorVariable], size: Sequence[Any]) -> TensorVariable:
        """Return a random draw of batch shape ``size`` as a graph."""
        return _resized(self.at(parameters), size)

    def draw_along(
        self,
        parameters: Sequence[TensorVariable],
        states: TensorVariable,
        size: Sequence[Any],
        given: TensorVariable | None = None,
    ) -> TensorVariable:
        """Return a random draw along paths of the states, independent of what is given."""
        return select_state(self.draw(parameters, size), states, self.event_ndim)

    def independent(
        self, parameters: Sequence[TensorVariable], size: Sequence[Any]
    ) -> TensorVariable:
        """Return a random draw like `draw`, independent of all others of the distribution."""
        generators = [v for v in graph_inputs([self._template]) if isinstance(v.type, RandomType)]
        fresh: dict[Variable, Variable] = {
            v: pytensor.shared(np.random.default_rng()) for v in generators
        }
        draw = _resized(substitute(self._template, fresh), size)
        # The parameters may be variables of a model, of which a clone would make copies.
        replacements = dict(zip(self._placeholders, parameters, strict=True))
        return graph_replace(draw, replacements, strict=False)

    def support_point(self, parameters: Sequence[TensorVariable]) -> TensorVariable:
        """Return a value inside the support for each batch entry."""
        return support_point(self.at(parameters))

    @property
    def family(self) -> str:
        """Name of the family, such as ``poisson``."""
        return str(getattr(self._template.owner.op, "name", ""))

    def __str__(self) -> str:
        return str(self._template.owner.op)

    @cached_property
    def _draw_graph(self) -> InnerGraph:
        generators = [x for x in graph_inputs([self._template]) if isinstance(x.type, RandomType)]
        return InnerGraph([*self._placeholders, *generators], [self._template])

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, EmissionDistribution) and self._draw_graph == other._draw_graph
        )

    def __hash__(self) -> int:
        return hash(self._draw_graph)

    def at(self, parameters: Sequence[Variable]) -> TensorVariable:
        """Return the distribution with these parameters."""
        return substitute(self._template, dict(zip(self._placeholders, parameters, strict=True)))


def _resized(distribution: TensorVariable, size: Sequence[Any]) -> TensorVariable:
    """Return a draw of another batch shape with the same parameters."""
    draw: TensorVariable = change_dist_size(distribution, tuple(size))
    if not isinstance(draw.owner.op, CustomSymbolicDistRV):
        return draw
    # PyMC goes back to the parameters a CustomDist was first made with, those of the model.
    node, before = draw.owner, distribution.owner
    own = dict(zip(node.op.dist_params(node), before.op.dist_params(before), strict=True))
    return node.op(*(own.get(x, x) for x in node.inputs), return_list=True)[0]


def _at_a_value(
    function: Callable[..., TensorVariable],
    distribution: TensorVariable,
    batch_ndim: int,
    per_state: bool = True,
) -> tuple[TensorVariable, TensorVariable]:
    """Return a value ``(..., T[, D])`` and a function of it, such as the log-density.

    With an axis for the states the value is ``(..., T, 1[, D])``.
    """
    op = distribution.owner.op
    discrete = distribution.dtype.startswith(("int", "uint", "bool"))
    shape = (*[None] * batch_ndim, *[1] * per_state, *[None] * op.ndim_supp)
    value = TensorType("int64" if discrete else distribution.dtype, shape=shape)()
    return value, function(distribution, value)
