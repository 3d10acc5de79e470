"""Random variables that carry the prepared model of which they are drawn.

`pymc.CustomDist` makes a new class for each variable and registers its methods for that class at
run time. PyMC and PyTensor keep such classes for ever, with what their methods refer to, so that a
cell of a notebook that is run again leaves a megabyte behind; and a pickled model carries the class
to another process but not the registration. Here is one class for all variables, and its methods
are found through the model that a variable carries.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytensor.tensor as pt
from pymc.distributions.custom import CustomSymbolicDistRV
from pymc.distributions.distribution import Distribution, _support_point
from pymc.distributions.shape_utils import _change_dist_size
from pymc.logprob.abstract import _logprob
from pymc.pytensorf import collect_default_updates
from pytensor.graph.basic import Variable
from pytensor.tensor.random.utils import normalize_size_param
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.ops import InnerGraph

__all__ = ["ModelDistribution", "ModelVariable", "model_of"]


class ModelVariable(CustomSymbolicDistRV):
    """The random variable of a prepared model.

    Parameters
    ----------
    inputs, outputs : sequence of Variable
        Of the graph of a draw.
    model : object
        With methods ``draw(*parameters, size)``, ``logp(value, *parameters)`` and
        ``support_point(rv, size, *parameters)``.
    class_name : str
        The distribution, as it is printed.
    extended_signature : str
        Dimensions of size, parameters, generators and draw.
    """

    def __init__(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        *,
        model: Any,
        class_name: str,
        extended_signature: str,
        **options: Any,
    ) -> None:
        self.model = model
        self._print_name = (class_name, f"\\operatorname{{{class_name}}}")
        super().__init__(
            inputs, outputs, extended_signature=extended_signature, name=class_name, **options
        )
        self._given = self.fgraph, InnerGraph(inputs, outputs)

    def __eq__(self, other: object) -> bool:
        # By value, because PyTensor keeps every Op that it ever rewrote: the one that a cell makes
        # when it is run again is not kept if it equals that of the first run.
        return self is other or (
            isinstance(other, ModelVariable)
            and hash(self) == hash(other)
            and self._draw_graph is not None
            and self._draw_graph == other._draw_graph
            and self.model == other.model
        )

    def __hash__(self) -> int:
        return hash((self._print_name, self.extended_signature))

    @property
    def _draw_graph(self) -> InnerGraph | None:
        """The graph of a draw; None for a copy of the Op with another."""
        given, graph = self.__dict__.get("_given", (None, None))
        return graph if given is self.fgraph else None

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in self.__dict__.items() if name != "_given"}


class ModelDistribution(Distribution):
    """The distribution of a `ModelVariable`, as PyMC makes variables of it."""

    rv_type = ModelVariable

    @classmethod
    def dist(
        cls,
        *parameters: TensorVariable,
        model: Any,
        class_name: str,
        signature: str,
        **arguments: Any,
    ) -> TensorVariable:
        """Make a variable that belongs to no model.

        Parameters
        ----------
        *parameters : TensorVariable
        model, class_name
            As for `ModelVariable`.
        signature : str
            Dimensions of the parameters and of a draw, such as ``"(),()->(t)"``.
        **arguments : Any
            ``shape`` or ``size``.
        """
        return super().dist(
            parameters, model=model, class_name=class_name, signature=signature, **arguments
        )

    @classmethod
    def rv_op(
        cls,
        *parameters: TensorVariable,
        model: Any,
        class_name: str,
        signature: str,
        size: Any = None,
    ) -> TensorVariable:
        """Make the Op, and apply it."""
        own, drawn = signature.split("->")
        size = normalize_size_param(size)
        inputs, outputs, generators = _draw(model.draw, parameters, size)
        op = ModelVariable(
            inputs,
            outputs,
            model=model,
            class_name=class_name,
            extended_signature="->".join(
                (
                    ",".join(filter(None, ["[size]", own, *["[rng]"] * len(generators)])),
                    ",".join([drawn, *["[rng]"] * len(generators)]),
                )
            ),
        )
        return op(size, *parameters, *generators)


def model_of(rv: TensorVariable) -> Any:
    """Return the model that a variable carries, or None if it is not one of this package."""
    op = None if rv.owner is None else rv.owner.op
    return op.model if isinstance(op, ModelVariable) else None


def _draw(
    draw: Callable[..., TensorVariable], parameters: Sequence[TensorVariable], size: Variable
) -> tuple[list[Variable], list[Variable], list[Variable]]:
    """Return the graph of a draw: its inputs, its outputs, and the generators among the inputs."""
    inputs: list[Variable] = [
        # A size that is None stands for itself.
        size.type() if isinstance(size, TensorVariable) else size,
        *(p.type() for p in parameters),
    ]
    drawn = draw(*inputs[1:], inputs[0])
    updates = collect_default_updates(inputs=inputs, outputs=(drawn,))
    return [*inputs, *updates], [drawn, *updates.values()], list(updates)


def _parameters(op: ModelVariable, inputs: Sequence[Variable]) -> list[Variable]:
    """Return the parameters among the inputs."""
    (_, _, positions), _ = op.get_input_output_type_idxs(op.extended_signature)
    return [inputs[i] for i in positions]


@_logprob.register(ModelVariable)
def _logp(
    op: ModelVariable, values: Sequence[TensorVariable], *inputs: Any, **kwargs: Any
) -> TensorVariable:
    [value] = values
    return op.model.logp(value, *_parameters(op, inputs))


@_support_point.register(ModelVariable)
def _model_support_point(
    op: ModelVariable, rv: TensorVariable, size: Any, *inputs: Any
) -> TensorVariable:
    return op.model.support_point(rv, size, *_parameters(op, (size, *inputs)))


@_change_dist_size.register(ModelVariable)
def _change_size(
    op: ModelVariable, rv: TensorVariable, new_size: Any, expand: bool
) -> TensorVariable:
    if expand:
        shape = tuple(rv.shape)
        new_size = (*new_size, *shape[: len(shape) - op.ndim_supp])
    size = pt.as_tensor(new_size, dtype="int64", ndim=1)
    parameters = _parameters(op, rv.owner.inputs)
    inputs, outputs, generators = _draw(op.model.draw, parameters, size)
    resized = ModelVariable(
        inputs,
        outputs,
        model=op.model,
        class_name=op._print_name[0],
        extended_signature=op.extended_signature,
    )
    return resized(size, *parameters, *generators)
