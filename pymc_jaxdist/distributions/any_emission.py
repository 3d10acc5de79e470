"""What a hidden Markov model asks of the emission of a channel, whatever it depends on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from pytensor.tensor.variable import TensorVariable

__all__ = ["AnyEmission"]


class AnyEmission(ABC):
    """The emission of one channel, cut off from the model around it at its parameters.

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

    n_parameters: int
    event_ndim: int
    discrete: bool
    batch_shape: tuple[int | None, ...]
    event_shape: tuple[int | None, ...]
    memory: int
    memoryless: bool

    @abstractmethod
    def kernel(self, batch_ndim: int, parameters: Sequence[TensorVariable]) -> Any:
        """Return the emission density as part of a JAX kernel.

        Parameters
        ----------
        batch_ndim : int
            Dimensions of the observations without that of a multivariate event.
        parameters : sequence of TensorVariable
            Variables in the place of the parameters, of the same or a larger rank.
        """

    @abstractmethod
    def log_cdf(self, batch_ndim: int, parameters: Sequence[TensorVariable]) -> Callable[..., Any]:
        """Return the logarithm of the cumulative distribution function as a JAX function.

        Parameters
        ----------
        batch_ndim, parameters
            As for `kernel`.

        Returns
        -------
        callable
            ``(value, *parameters) -> (log_cdf,)``; NaN where an observation is conditioned on.

        Raises
        ------
        NotImplementedError
            If PyMC has none for this distribution.
        """

    @abstractmethod
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
            Observations, NaN where there are none, from which a draw goes on if it depends on
            those before. Without them such a draw begins with the first observations.
        """

    @abstractmethod
    def support_point(self, parameters: Sequence[TensorVariable]) -> TensorVariable:
        """Return a value inside the support for each batch entry."""
