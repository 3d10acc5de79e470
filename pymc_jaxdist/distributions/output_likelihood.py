"""A likelihood written as a function of a symbolic output, cut off from the model around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
from pymc.distributions.shape_utils import change_dist_size
from pytensor.graph.basic import Constant
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.subtensor import Subtensor, indices_from_subtensor
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.boundary import boundary
from pymc_jaxdist.distributions.emission import EmissionDistribution
from pymc_jaxdist.errors import DistributionError, ShapeError, compose_message
from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.ops import InnerGraph
from pymc_jaxdist.ops.flat_function import TreeStructure

__all__ = ["OutputLikelihood"]


@dataclass(frozen=True)
class OutputLikelihood:
    """The distribution of observations given outputs ``(N, ...)``; holds no model variable.

    Attributes
    ----------
    distribution : EmissionDistribution
        The distribution by its own parameters.
    parameters : tuple of TensorVariable
        Those parameters as functions of `outputs` and `others`.
    outputs, others : tuple of TensorVariable
        Placeholders for the outputs, and for what else of the model it depends on.
    """

    distribution: EmissionDistribution
    parameters: tuple[TensorVariable, ...]
    outputs: tuple[TensorVariable, ...]
    others: tuple[TensorVariable, ...]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape of the observations, with None for the rows and what else is unknown."""
        return (*self.distribution.batch_shape, *self.distribution.event_shape)

    @classmethod
    def cut(
        cls,
        where: str,
        likelihood: Any,
        structure: TreeStructure,
        row_shapes: Sequence[tuple[int, ...]],
    ) -> tuple["OutputLikelihood", list[TensorVariable]]:
        """Call a likelihood on placeholders, and cut what it returns off from the model.

        Parameters
        ----------
        where : str
            For error messages.
        likelihood : callable
            From outputs to an unregistered PyMC distribution.
        structure : TreeStructure
            Of the outputs.
        row_shapes : sequence of tuple of int
            Shape of one row of each output.

        Returns
        -------
        OutputLikelihood
        others : list of TensorVariable
            The variables of the model on which the distribution depends.
        """
        if not callable(likelihood):
            raise DistributionError(
                compose_message(
                    where,
                    "likelihood must be a function of the output.",
                    got=f"{type(likelihood).__name__}: {likelihood!r:.60}",
                    suggestion="likelihood=lambda out: pm.Normal.dist(out[..., 0], sigma)",
                )
            )
        outputs = [TensorType("float64", shape=(None, *shape))("out") for shape in row_shapes]
        distribution = likelihood(structure.unflatten(outputs))
        emission, parameters = EmissionDistribution.cut(distribution, where, "likelihood")
        reachable = set(ancestors(parameters))
        if not any(output in reachable for output in outputs):
            raise DistributionError(
                compose_message(
                    where,
                    "the likelihood does not depend on the output.",
                    got=str(distribution.owner.op),
                    suggestion="likelihood=lambda out: pm.Normal.dist(out[..., 0], sigma)",
                )
            )
        _refuse_bad_index(where, parameters)
        outside = boundary(parameters, outputs)
        placeholders = [x.type() for x in outside]
        closed = clone_replace(parameters, dict(zip(outside, placeholders, strict=True)))
        if any(isinstance(x.type, RandomType) for x in ancestors(closed)):
            raise DistributionError(
                compose_message(
                    where,
                    "a parameter of the likelihood is a random draw that depends on the output.",
                    expected="parameters computed from the output and variables of the model",
                )
            )
        cut = cls(emission, tuple(closed), tuple(outputs), tuple(placeholders))
        return cut, outside

    def at(
        self, outputs: Sequence[TensorVariable], others: Sequence[TensorVariable]
    ) -> list[TensorVariable]:
        """Return the parameters of the distribution for these outputs."""
        replacements = dict(zip((*self.outputs, *self.others), (*outputs, *others), strict=True))
        return clone_replace(list(self.parameters), replacements)

    def kernel(self, value_ndim: int, others: Sequence[TensorVariable]) -> Emission:
        """Return the density as part of a JAX kernel.

        Parameters
        ----------
        value_ndim : int
            Dimensions of the observations.
        others : sequence of TensorVariable
            Variables in the place of `others`.
        """
        emission = self.distribution
        n_batch = value_ndim - emission.event_ndim
        # Emissions have an axis for states, here of length 1.
        shape = (*[None] * n_batch, 1, *[None] * emission.event_ndim)
        value = TensorType("int64" if emission.discrete else "float64", shape=shape)()
        outputs = [x.type() for x in self.outputs]
        placeholders = [x.type() for x in others]
        distribution = emission.at(self.at(outputs, placeholders))
        log_density = pm.logp(distribution, value.squeeze(n_batch))
        inputs, graph = emission.finish([value, *outputs, *placeholders], log_density[..., None])
        return Emission(
            log_density=InnerGraph(inputs, graph),
            finite_slope_log_density=InnerGraph(inputs, graph, finite_derivatives=True),
            n_parameters=len(outputs) + len(placeholders),
            event_ndim=emission.event_ndim,
            discrete=emission.discrete,
        )

    def draw(
        self,
        outputs: Sequence[TensorVariable],
        others: Sequence[TensorVariable],
        size: Sequence[Any] | None,
    ) -> TensorVariable:
        """Return a random draw for each row; ``size`` are leading dimensions, rows last."""
        draw = self.distribution.at(self.at(outputs, others))
        if size is None:
            return draw
        n_batch = draw.type.ndim - self.distribution.event_ndim
        trailing = [draw.shape[axis] for axis in range(1, n_batch)]
        return change_dist_size(draw, (*size, *trailing))

    def support_point(
        self, outputs: Sequence[TensorVariable], others: Sequence[TensorVariable]
    ) -> TensorVariable:
        """Return a value inside the support for each row."""
        return self.distribution.support_point(self.at(outputs, others))


def _refuse_bad_index(where: str, parameters: Sequence[TensorVariable]) -> None:
    """Refuse a constant index beyond an axis, which JAX would clip in silence."""
    for variable in ancestors(parameters):
        node = variable.owner
        if node is None or not isinstance(node.op, Subtensor):
            continue
        array, *given = node.inputs
        for axis, index in enumerate(indices_from_subtensor(given, node.op.idx_list)):
            length = array.type.shape[axis]
            value = index.data if isinstance(index, Constant) else None
            if value is None or length is None or np.ndim(value) or isinstance(value, slice):
                continue
            if not -length <= int(value) < length:
                raise ShapeError(
                    compose_message(
                        where,
                        "the likelihood asks for more than the network returns.",
                        got=f"index {int(value)} of an axis of length {length}",
                        expected=f"an index below {length}",
                    )
                )
