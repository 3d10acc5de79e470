"""A user's log-density as PyMC sees it: log-density, random draws, a value in the support."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.unit_signature import UnitSignature
from pymc_jaxdist.kernels.units import UnitLogDensity, UnitMap
from pymc_jaxdist.ops import JaxFunction, log_density
from pymc_jaxdist.ops.by_value import ByValue
from pymc_jaxdist.ops.processes import prepare_process_starts
from pymc_jaxdist.ops.unit_random import Style, UnitRandom

__all__ = ["JaxDistModel"]


@dataclass(frozen=True)
class JaxDistModel:
    """What PyMC needs to know of a user's distribution.

    Its parameters are the user's, then the lengths of core dimensions of the value which no
    parameter tells. It holds no variable of the model.

    Attributes
    ----------
    where : str
        The distribution, for error messages.
    log_density : ByValue
        ``(value, *parameters) -> scalar`` of one unit.
    signature : UnitSignature
    random : ByValue
        The function that draws, or None.
    random_style : {"numpy", "jax", "none"}
    start : ByValue
        A value in the support: numbers, or a function of the parameters of one unit.
    missing : {"pass", "skip"}
        What is done about NaN.
    dtype : str
        Of the value.
    lengths : tuple of str
        Names of core dimensions whose lengths are parameters.
    """

    where: str
    log_density: ByValue
    signature: UnitSignature
    random: ByValue
    random_style: Style
    start: ByValue
    missing: Literal["pass", "skip"]
    dtype: str
    lengths: tuple[str, ...]

    def __post_init__(self) -> None:
        # pm.sample chooses how to start its processes before it asks for the log-density.
        prepare_process_starts()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        prepare_process_starts()

    @property
    def kernel(self) -> UnitLogDensity:
        """The log-density of all units."""
        return UnitLogDensity(self.log_density, self.signature.core_ndims, self.missing)

    def core_signature(self, n_parameters: int) -> str:
        """Return the dimensions that belong to one draw, those of parameters and of the draw."""
        return self.signature.as_text(n_parameters - len(self.signature.parameters))

    def logp(self, value: TensorVariable, *parameters: TensorVariable) -> TensorVariable:
        """Return one log-density per unit."""
        own = [pt.as_tensor_variable(p) for p in parameters[: len(self.signature.parameters)]]
        value = self._with_all_units(value, own)
        batch_ndim = value.type.ndim - len(self.signature.value)
        return log_density(self.kernel, value, *own, batch_ndim=batch_ndim)

    def _with_all_units(
        self, value: TensorVariable, parameters: list[TensorVariable]
    ) -> TensorVariable:
        """Broadcast a value against the units of the parameters, if it may be fewer."""
        n_core = len(self.signature.value)
        n_batch = value.type.ndim - n_core
        missing = 0
        for parameter, names in zip(parameters, self.signature.parameters, strict=True):
            missing = max(missing, parameter.type.ndim - len(names) - n_batch)
        value = pt.expand_dims(value, tuple(range(missing)))
        n_batch += missing
        # A length of 1 is broadcast if some parameter is known to have another.
        lengths: list[Any] = list(value.shape[:n_batch])
        short = False
        for parameter, names in zip(parameters, self.signature.parameters, strict=True):
            own = parameter.type.ndim - len(names)
            for axis in range(own):
                at = axis + n_batch - own
                if value.type.shape[at] == 1 and parameter.type.shape[axis] != 1:
                    lengths[at] = parameter.shape[axis]
                    short = True
        if not short:
            return value
        return pt.broadcast_to(value, (*lengths, *tuple(value.shape)[n_batch:]))

    def draw(self, *parameters_and_size: Any) -> TensorVariable:
        """Return a random draw as a graph."""
        *parameters, size = parameters_and_size
        if isinstance(size, Constant) and size.data is None:
            size = None
        op = UnitRandom(
            where=self.where,
            function=self.random,
            style=self.random_style,
            n_lengths=len(self.lengths),
            signature=self.signature.as_text(len(self.lengths)),
            dtype=self.dtype,
        )
        n_own = len(self.signature.parameters)
        # PyMC gives parameters the dimensions of the units, lengths too.
        lengths = [pt.as_tensor_variable(n).flatten()[0] for n in parameters[n_own:]]
        generator = pytensor.shared(np.random.default_rng())
        draw: TensorVariable = op.make_node(generator, size, *parameters[:n_own], *lengths).outputs[
            1
        ]
        return draw

    def support_point(
        self, rv: TensorVariable, size: Any, *parameters: TensorVariable
    ) -> TensorVariable:
        """Return the start values the user gave, for every unit."""
        start = self.start.value
        if isinstance(start, Callable):  # type: ignore[arg-type]
            own = parameters[: len(self.signature.parameters)]
            function = UnitMap(self.start, self.signature.core_ndims[1:])
            point = JaxFunction(function)(*own)
        else:
            point = pt.as_tensor_variable(start)
        return pt.cast(pt.broadcast_to(point, self._shape(size, parameters)), self.dtype)

    def _shape(self, size: Any, parameters: Sequence[TensorVariable]) -> tuple[Any, ...]:
        """Return the shape of a draw, without asking the draw, which may be made to answer."""
        own = parameters[: len(self.signature.parameters)]
        shapes = list(zip(own, self.signature.parameters, strict=True))
        lengths: dict[str, Any] = {}
        for parameter, names in shapes:
            own_shape = tuple(parameter.shape)
            lengths.update(zip(names, own_shape[len(own_shape) - len(names) :], strict=True))
        extra = parameters[len(own) : len(own) + len(self.lengths)]
        lengths.update((n, x.flatten()[0]) for n, x in zip(self.lengths, extra, strict=True))
        core = [int(n) if n.isdecimal() else lengths[n] for n in self.signature.value]
        if isinstance(size, Constant) and size.data is None:
            batch = [x[(..., *(0,) * len(names))] for x, names in shapes]
            size = tuple(pt.broadcast_arrays(*batch)[0].shape) if batch else ()
        return (*tuple(size), *core)
