"""Unregistered PyMC distributions as emission densities: their parameters, log-density, draws."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pymc.distributions.custom import CustomSymbolicDistRV
from pymc.distributions.distribution import SymbolicRandomVariable, support_point
from pymc.distributions.shape_utils import change_dist_size
from pymc.logprob.utils import CheckParameterValue, local_check_parameter_to_ninf_switch
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import clone_replace, graph_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, graph_inputs
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import known_value
from pymc_jaxdist.distributions.hidden_markov_draw import select_state
from pymc_jaxdist.errors import DistributionError, ParameterError, compose_message
from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.ops import InnerGraph
from pymc_jaxdist.ops.compat import dfs_rewriter

__all__ = ["EmissionDistribution", "is_baked"]

# Larger constants (covariate effects computed outside the model) stay inputs of the kernel:
# baked into the compiled program they would slow its compilation.
LARGEST_BAKED_CONSTANT = 256

_EXAMPLES = {"likelihood": "lambda y: pm.Normal.dist(y, sigma)"}

# Stands for the generators of distributions of which only a shape is asked: nothing is drawn.
UNUSED_GENERATOR = np.random.default_rng(0)


class EmissionDistribution:
    """An unregistered PyMC distribution, cut off from the model around it at its parameters.

    Made by `cut`; holds no variable of the model.

    Attributes
    ----------
    n_parameters : int
        Number of parameters.
    event_ndim : int
        0 for a univariate, 1 for a multivariate distribution.
    discrete : bool
        Whether draws are integers.
    batch_shape, event_shape : tuple of int or None
        What is known of the shape.
    memory : int
        Number of states, up to the present one, on which the density depends.
    memoryless : bool
        Whether an observation depends on no other.
    """

    memory = 1
    memoryless = True

    def __init__(self, template: TensorVariable, placeholders: Sequence[Variable]) -> None:
        self._template = template
        self._placeholders = list(placeholders)
        self._kernels: dict[tuple, Emission] = {}
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
        _refuse_non_distributions(distribution, where, argument)
        direct = [p for p in _direct_parameters(distribution) if not is_baked(p)]
        for p in _direct_parameters(distribution):
            _refuse_nan(p, where, argument)
        placeholders = [p.type() for p in direct]
        template = _substitute(distribution, dict(zip(direct, placeholders, strict=True)))

        # Shapes may still be asked of what the direct parameters were computed from.
        outside = set(ancestors(direct))
        log_density = _at_a_value(pm.logp, template, 1)[1]
        _refuse_impossible_constants(log_density, where, argument)
        extra = _reached(log_density, outside)
        extra_placeholders = [p.type() for p in extra]
        template = _substitute(template, dict(zip(extra, extra_placeholders, strict=True)))
        return cls(template, [*placeholders, *extra_placeholders]), [*direct, *extra]

    def kernel(
        self, batch_ndim: int, parameters: Sequence[TensorVariable], per_state: bool = True
    ) -> Emission:
        """Return the emission density as part of a JAX kernel.

        Parameters
        ----------
        batch_ndim : int
            Dimensions of the observations without that of a multivariate event.
        parameters : sequence of TensorVariable
            Variables in the place of `parameters`, of the same or a larger rank.
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

    def log_cdf(
        self, batch_ndim: int, parameters: Sequence[TensorVariable], per_state: bool = True
    ) -> InnerGraph:
        """Return the logarithm of the cumulative distribution function as a JAX function.

        Parameters
        ----------
        batch_ndim, parameters, per_state
            As for `kernel`.

        Raises
        ------
        NotImplementedError
            If PyMC has none for this distribution.
        """
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
        log_density = _substitute(log_density, stand_ins)
        graph = FunctionGraph([*inputs, *stand_ins.values()], [log_density], clone=True)
        dfs_rewriter(local_check_parameter_to_ninf_switch).rewrite(graph)
        if generators:  # put the shapes themselves in the place of what is asked for its shape
            rewrite_graph(graph, include=("ShapeOpt", "canonicalize"), clone=False)
        if any(_is_random(output) for node in graph.apply_nodes for output in node.outputs):
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
        return own, [_substitute(output, constants) for output in graph.outputs]

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
        """Return a random draw along paths of the states as a graph.

        Parameters
        ----------
        parameters : sequence of TensorVariable
            As for `kernel`.
        states : (..., T) tensor of int
            Paths.
        size : sequence of int or scalar tensor
            ``(..., T, K)``.
        given : (..., T[, D]) tensor, optional
            Observations, NaN where there are none. Draws here do not depend on them.
        """
        return select_state(self.draw(parameters, size), states, self.event_ndim)

    def independent(
        self, parameters: Sequence[TensorVariable], size: Sequence[Any]
    ) -> TensorVariable:
        """Return a random draw like `draw`, independent of all others of the distribution."""
        generators = [v for v in graph_inputs([self._template]) if isinstance(v.type, RandomType)]
        fresh: dict[Variable, Variable] = {
            v: pytensor.shared(np.random.default_rng()) for v in generators
        }
        draw = _resized(_substitute(self._template, fresh), size)
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

    def at(self, parameters: Sequence[Variable]) -> TensorVariable:
        """Return the distribution with these parameters."""
        return _substitute(self._template, dict(zip(self._placeholders, parameters, strict=True)))


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


def _refuse_non_distributions(distribution: Any, where: str, argument: str) -> None:
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
    if not _is_random(distribution):
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


def _is_random(variable: Variable) -> bool:
    return variable.owner is not None and isinstance(
        variable.owner.op, RandomVariable | SymbolicRandomVariable
    )


def _direct_parameters(distribution: TensorVariable) -> Iterator[TensorVariable]:
    """Yield the parameters of a distribution and of the distributions it is made of."""
    op = distribution.owner.op
    has_size = isinstance(op, RandomVariable) or op.extended_signature is not None
    size = op.size_param(distribution.owner) if has_size else None
    for variable in distribution.owner.inputs:
        # Variables of a model have names; an unnamed one is a component of a mixture, what is
        # truncated or censored, and the like.
        is_component = (
            _is_random(variable)
            and variable.name is None
            and isinstance(op, SymbolicRandomVariable)
        )
        if is_component:
            yield from _direct_parameters(variable)
        elif variable is not size and isinstance(variable.type, TensorType):
            yield variable


def _reached(log_density: Variable, outside: set[Variable]) -> list[TensorVariable]:
    """Find the outermost variables outside a distribution on which its log-density depends."""
    reached: dict[Variable, None] = {}
    seen: set[Variable] = set()

    def visit(variable: Variable) -> None:
        if variable in seen or isinstance(variable.type, RandomType):
            return
        seen.add(variable)
        if variable in outside:
            if not is_baked(variable):
                reached[variable] = None
        elif variable.owner is not None:
            for x in variable.owner.inputs:
                visit(x)

    visit(log_density)
    return [v for v in reached if isinstance(v.type, TensorType)]


def _refuse_nan(parameter: TensorVariable, where: str, argument: str) -> None:
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


def _refuse_impossible_constants(log_density: Variable, where: str, argument: str) -> None:
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


def is_baked(variable: Variable) -> bool:
    """Tell whether a variable is a small constant, which becomes part of the compiled kernel."""
    roots = list(graph_inputs([variable]))
    return all(isinstance(x, Constant) for x in roots) and (
        sum(np.size(x.data) for x in roots) <= LARGEST_BAKED_CONSTANT
    )


def _substitute(variable: TensorVariable, replacements: dict[Variable, Variable]) -> TensorVariable:
    return clone_replace(variable, replace=replacements)
