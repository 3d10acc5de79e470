"""The log-likelihood of observations of the solution of a differential equation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.kernels.ode.equation import Equation
from pymc_jaxdist.kernels.ode.problem import Status

__all__ = ["ODELogLikelihood", "ODESolution"]


@dataclass(frozen=True)
class ODELogLikelihood:
    r"""Log-likelihood of each observation given the solution of a differential equation.

    .. math::

        \ell_t = \log f(y_t \mid \theta(x(t))), \qquad \dot x = F(t, x, p), \quad x(t_0) = x_0

    Parameters
    ----------
    equation : Equation
        The equation.
    link : callable
        ``link(seen, *likelihood arguments)`` returns the parameters of the emissions that depend
        on the solution.
    emissions : tuple of Emission
        One per channel. A single emission takes the observations as they are; several take one
        column each of observations ``(..., T, D)``.
    sources : tuple of int
        For each parameter of the emissions, channel by channel: its position among the outputs of
        ``link``, or ``-1 - i`` for likelihood argument ``i`` itself.
    may_be_missing : bool
        Whether NaN in the observations means missing.
    """

    equation: Equation
    link: Callable[..., tuple[jax.Array, ...]]
    emissions: tuple[Emission, ...]
    sources: tuple[int, ...]
    may_be_missing: bool

    # Most of its loops are over a few numbers.
    in_one_piece: ClassVar[bool] = True

    def __call__(self, value: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Evaluate the log-likelihood of each observation.

        Parameters
        ----------
        value : (..., T) or (..., T, D) array
            Observations.
        *arguments : array
            Those of the equation, then those of the likelihood.

        Returns
        -------
        array
            As the observations, without the dimension of a multivariate likelihood; ``-inf``
            for a subject whose equation could not be solved.
        """
        n = self.equation.n_arguments
        seen, solution = self.equation.observed_trajectory(*arguments[:n])
        rest = arguments[n:]
        solved = solution.status == int(Status.SUCCESS)
        solved = solved.reshape(seen.shape[: self.equation.batch_ndim])

        def for_each(flags: jax.Array, ndim: int) -> jax.Array:
            return flags.reshape(*flags.shape, *[1] * (ndim - flags.ndim))

        # A number many supports contain stands in, so that no NaN enters the gradient.
        seen = jnp.where(for_each(solved, seen.ndim), seen, 1.0)
        # Subjects that differ in their data alone have one solution, which is solved once.
        lead = value.shape[: self.equation.batch_ndim]
        seen = jnp.broadcast_to(seen, (*lead, *seen.shape[len(lead) :]))
        linked = self.link(seen, *rest)
        parameters = [linked[s] if s >= 0 else rest[-1 - s] for s in self.sources]
        terms = []
        for channel, emission in enumerate(self.emissions):
            own, parameters = (
                parameters[: emission.n_parameters],
                parameters[emission.n_parameters :],
            )
            column = value if len(self.emissions) == 1 else value[..., channel]
            terms.append(emission.log_likelihoods(column, tuple(own), self.may_be_missing))
        several = len(self.emissions) > 1
        log_likelihood = jnp.stack(terms, axis=-1) if several else terms[0]
        event_ndim = 0 if several else self.emissions[0].event_ndim
        shape = value.shape[: value.ndim - event_ndim]
        log_likelihood = jnp.broadcast_to(log_likelihood, shape)
        return jnp.where(for_each(solved, log_likelihood.ndim), log_likelihood, -jnp.inf)

    def __str__(self) -> str:
        return "ODE log-likelihood"


@dataclass(frozen=True)
class ODESolution:
    """The solution of a differential equation as a kernel of its own.

    The first argument has the shape of the result and no other meaning.
    """

    equation: Equation

    in_one_piece: ClassVar[bool] = True

    def __call__(self, template: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Return what is seen of the states, ``(..., T, n)``; not finite where solving failed."""
        seen, _ = self.equation.observed_trajectory(*arguments)
        return jnp.broadcast_to(seen, template.shape)

    def __str__(self) -> str:
        return "ODE solution"
