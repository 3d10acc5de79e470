"""A hidden Markov model as PyMC sees it: parameters in order, log-density, random draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.tensor.utils import safe_signature
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.any_emission import AnyEmission
from pymc_jaxdist.distributions.hidden_markov_draw import draw_states
from pymc_jaxdist.kernels.hidden_markov_log_likelihood import HiddenMarkovLogLikelihood
from pymc_jaxdist.ops import log_density
from pymc_jaxdist.ops.kernel_calls import Kernel
from pymc_jaxdist.ops.processes import prepare_process_starts

__all__ = ["HiddenMarkovModel"]


@dataclass(frozen=True)
class HiddenMarkovModel:
    """What PyMC needs to know of a hidden Markov model: its log-density and its draws.

    Its parameters come in this order: transition_matrix, then initial_probs, lengths and
    allowed_states (each if given), then the emission parameters channel by channel, and T if it
    is not fixed. It holds no variable of the model itself, which PyMC would keep alive for ever.

    Attributes
    ----------
    emissions : tuple of EmissionDistribution or AutoRegressiveDistribution
        One per channel.
    initial_probs_given, lengths_given, allowed_states_given : bool
        Which of the optional parameters there are.
    may_be_missing : bool
        Whether NaN in the observations means missing.
    dtype : str
        Of draws and observations.
    n_times : int or None
        T, if it is fixed.
    ndim : int
        Number of dimensions of the variable.
    memory : int
        Number of states a state of the chain stands for, up to the present one: more than one in
        a chain of higher order. The transition matrix is then that of histories.
    n_remembered_states : int or None
        K, if the chain is one of histories.
    """

    emissions: tuple[AnyEmission, ...]
    initial_probs_given: bool
    lengths_given: bool
    allowed_states_given: bool
    may_be_missing: bool
    dtype: str
    n_times: int | None
    ndim: int
    memory: int
    n_remembered_states: int | None

    def __post_init__(self) -> None:
        # pm.sample chooses how to start its processes before it asks for the log-density.
        prepare_process_starts()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        prepare_process_starts()

    @property
    def event_ndim(self) -> int:
        """1 if observations are vectors, else 0."""
        return 1 if len(self.emissions) > 1 else self.emissions[0].event_ndim

    def core_signature(self, n_parameters: int) -> str:
        """Return the dimensions that belong to one draw, those of parameters and of the draw."""
        return str(safe_signature([0] * n_parameters, [1 + self.event_ndim]))

    def logp(self, value: TensorVariable, *parameters: TensorVariable) -> TensorVariable:
        """Return one log-density per sequence."""
        *shared, emission_parameters, _ = self._split(parameters)
        batch_ndim = value.type.ndim - (1 if len(self.emissions) > 1 else self.event_ndim)
        kernel = self._kernel(batch_ndim, emission_parameters)
        inputs = [x for x in shared if x is not None]
        flat = [p for own in emission_parameters for p in own]
        return log_density(kernel, value, *inputs, *flat, batch_ndim=batch_ndim - 1)

    def _kernel(
        self, batch_ndim: int, emission_parameters: Sequence[Sequence[TensorVariable]]
    ) -> Kernel:
        return HiddenMarkovLogLikelihood(
            emissions=tuple(
                emission.kernel(batch_ndim, own)
                for emission, own in zip(self.emissions, emission_parameters, strict=True)
            ),
            initial_probs_given=self.initial_probs_given,
            lengths_given=self.lengths_given,
            allowed_states_given=self.allowed_states_given,
            may_be_missing=self.may_be_missing,
        )

    @property
    def _distributions(self) -> tuple[AnyEmission, ...]:
        """The distributions whose parameters come last, in their order."""
        return self.emissions

    def draw(self, *parameters_and_size: Any) -> TensorVariable:
        """Return a random draw as a graph: states first, then what they emit."""
        *parameters, size = parameters_and_size
        if isinstance(size, Constant) and size.data is None:
            # PyMC asks once without a size, only to learn the number of dimensions.
            return pt.cast(pm.Uniform.dist(size=(1,) * self.ndim), self.dtype)
        transition_matrix, initial_probs, _, _, emission_parameters, n_times = self._split(
            parameters
        )
        if transition_matrix.type.ndim == 2:
            transition_matrix = transition_matrix[None]
        if initial_probs is None:
            initial_probs = _stationary(transition_matrix[..., 0, :, :])
        batch_shape = tuple(size)
        states = self._draw_states(
            initial_probs, transition_matrix, emission_parameters, batch_shape, n_times
        )
        n_states: Any = transition_matrix.shape[-1]
        if self.memory > 1:  # paths of histories, which end in the present state
            n_states = self.n_remembered_states
            states = states % n_states
        size_of_each = (*batch_shape, n_times, n_states)
        channels = [
            emission.draw_along(own, states, size_of_each)
            for emission, own in zip(self.emissions, emission_parameters, strict=False)
        ]
        draw = channels[0] if len(channels) == 1 else pt.stack(channels, axis=-1)
        return pt.cast(draw, self.dtype)

    def _draw_states(
        self,
        initial_probs: TensorVariable,
        transition_matrix: TensorVariable,
        emission_parameters: Sequence[Sequence[TensorVariable]],
        batch_shape: Sequence[Any],
        n_times: TensorVariable,
    ) -> TensorVariable:
        return draw_states(initial_probs, transition_matrix, batch_shape, n_times)

    def support_point(
        self, rv: TensorVariable, size: Any, *parameters: TensorVariable
    ) -> TensorVariable:
        """Return a series inside the support: the average state's, rounded if discrete."""
        *_, emission_parameters, _ = self._split(parameters)
        channels = []
        for emission, own in zip(self.emissions, emission_parameters, strict=False):
            point = emission.support_point(own)
            if emission.batch_shape:
                point = point.mean(axis=-1 - emission.event_ndim)
            channels.append(pt.round(point) if emission.discrete else point)
        if len(channels) == 1:
            return pt.cast(pt.broadcast_to(channels[0], rv.shape), self.dtype)
        columns = [pt.broadcast_to(point, rv.shape[:-1]) for point in channels]
        return pt.cast(pt.stack(columns, axis=-1), self.dtype)

    def _split(self, parameters: Sequence[TensorVariable]) -> list[Any]:
        """Return transition_matrix, initial_probs, lengths, allowed_states, emissions', T."""
        remaining = list(parameters)
        n_times = remaining.pop() if self.n_times is None else pt.constant(self.n_times)
        transition_matrix = remaining.pop(0)
        initial_probs = remaining.pop(0) if self.initial_probs_given else None
        lengths = remaining.pop(0) if self.lengths_given else None
        allowed_states = remaining.pop(0) if self.allowed_states_given else None
        emission_parameters = []
        for emission in self._distributions:
            emission_parameters.append(remaining[: emission.n_parameters])
            remaining = remaining[emission.n_parameters :]
        return [
            transition_matrix,
            initial_probs,
            lengths,
            allowed_states,
            emission_parameters,
            n_times,
        ]


def _stationary(transition_matrix: TensorVariable) -> TensorVariable:
    """Return the stationary distribution, for random draws: delta (I - P + 1) = 1."""
    n_states = transition_matrix.shape[-1]
    system = pt.eye(n_states) - transition_matrix + 1.0
    ones = pt.ones((*tuple(transition_matrix.shape)[:-2], n_states))
    return pt.linalg.solve(pt.swapaxes(system, -1, -2), ones, b_ndim=1)
