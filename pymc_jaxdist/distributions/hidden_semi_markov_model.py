"""A hidden semi-Markov model as PyMC sees it: parameters in order, log-density, random draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.any_emission import AnyEmission
from pymc_jaxdist.distributions.emission import EmissionDistribution
from pymc_jaxdist.distributions.hidden_markov_model import HiddenMarkovModel
from pymc_jaxdist.kernels.hidden_markov_log_likelihood import HiddenMarkovLogLikelihood
from pymc_jaxdist.kernels.hidden_semi_markov_log_likelihood import HiddenSemiMarkovLogLikelihood

__all__ = ["HiddenSemiMarkovModel"]


@dataclass(frozen=True)
class HiddenSemiMarkovModel(HiddenMarkovModel):
    """A hidden Markov model whose states last for durations of their own distribution.

    Its parameters are those of the `HiddenMarkovModel`, with the parameters of the durations
    behind those of the emissions.

    Attributes
    ----------
    duration : EmissionDistribution
        Distribution of durations, ``(..., 1, K)``.
    shortest : int
        Value of that distribution that means a duration of one time.
    max_duration : int or None
        Where the distribution is truncated.
    """

    duration: EmissionDistribution
    shortest: int
    max_duration: int | None

    def _kernel(
        self, batch_ndim: int, emission_parameters: Sequence[Sequence[TensorVariable]]
    ) -> Any:
        *of_emissions, of_durations = emission_parameters
        markov = super()._kernel(batch_ndim, of_emissions)
        assert isinstance(markov, HiddenMarkovLogLikelihood)
        return HiddenSemiMarkovLogLikelihood(
            markov=markov,
            duration=self.duration.kernel(1, of_durations),
            shortest=self.shortest,
            max_duration=self.max_duration,
        )

    @property
    def _distributions(self) -> tuple[AnyEmission, ...]:
        return (*self.emissions, self.duration)

    def _draw_states(
        self,
        initial_probs: TensorVariable,
        transition_matrix: TensorVariable,
        emission_parameters: Sequence[Sequence[TensorVariable]],
        batch_shape: Sequence[Any],
        n_times: TensorVariable,
    ) -> TensorVariable:
        """Draw state paths ``(..., T)``: a state, how long it lasts, the next state."""
        n_states = transition_matrix.shape[-1]
        size = (n_times, *batch_shape, 1, n_states)
        durations = self._draw_durations(emission_parameters[-1], size)[..., 0, :]
        others = pt.where(pt.eq(pt.eye(n_states), 1), 0.0, transition_matrix[..., 0, :, :])
        onward = pt.cumsum(others / others.sum(axis=-1, keepdims=True), axis=-1)[..., :-1]
        uniform = pm.Uniform.dist(0.0, 1.0, size=(n_times, *batch_shape))
        beginning = pt.cumsum(initial_probs, axis=-1)[..., :-1]
        first = pt.sum(uniform[0][..., None] > beginning, axis=-1, dtype="int64")

        def lasting(of_each: Any, state: Any) -> Any:
            return pt.take_along_axis(of_each, state[..., None], axis=-1)[..., 0]

        def step(u: Any, of_each: Any, state: Any, left: Any, onward: Any, states: Any) -> Any:
            row = pt.sum(pt.eq(state[..., None], states)[..., None] * onward, axis=-2)
            following = pt.sum(u[..., None] > row, axis=-1, dtype="int64")
            ends = pt.le(left, 1)
            state = pt.where(ends, following, state)
            return state, pt.where(ends, lasting(of_each, state), left - 1)

        later, _ = pytensor.scan(
            step,
            sequences=[uniform[1:], durations[1:]],
            outputs_info=[first, lasting(durations[0], first)],
            non_sequences=[onward, pt.arange(n_states)],
            strict=True,
            return_updates=False,
        )
        return pt.moveaxis(pt.concatenate([first[None], later], axis=0), 0, -1)

    def _draw_durations(
        self, parameters: Sequence[TensorVariable], size: Sequence[Any]
    ) -> TensorVariable:
        """Draw durations; a truncated distribution by its cumulative probabilities."""
        if self.max_duration is None:
            return self.duration.draw(parameters, size) - (self.shortest - 1)
        values = np.arange(self.shortest, self.shortest + self.max_duration)
        probs = pt.exp(self.duration.log_density(values[:, None], parameters))
        upper = pt.cumsum(probs, axis=-2)
        below = pm.Uniform.dist(0.0, 1.0, size=size)[..., None, :] * upper[..., -1:, :]
        return 1 + pt.sum(below > upper[..., :-1, :], axis=-2, dtype="int64")
