"""The log-likelihood of observations of the solution of a differential equation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.kernels.ode.equation import Attempt, Equation
from pymc_jaxdist.kernels.ode.problem import Status
from pymc_jaxdist.kernels.ode.solve import wants_another_method

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
        return self._evaluate(value, arguments)[0]

    @property
    def in_two_attempts(self) -> bool:
        """Whether there are two methods."""
        return self.equation.n_methods > 1

    def foreseen(self, value: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Return NaN for subjects that the first method gives up at once, 0 for others."""
        return vain_as_nan(self.equation, arguments, self._shape(value), value.dtype)

    def first_attempt(self, value: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Evaluate by the first method; NaN for subjects for which another may help."""
        found, status = self._evaluate(value, arguments, Attempt(active=None))
        return left_undecided(found, status)

    def second_attempt(
        self, first: jax.Array, value: jax.Array, *arguments: jax.Array
    ) -> jax.Array:
        """Evaluate by the other methods for the subjects that were left; ``-inf`` for the rest."""
        active = undecided_subjects(first, self.equation, arguments)
        return self._evaluate(value, arguments, Attempt(active))[0]

    def why_impossible(self, value: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Return the `Status` of each subject, also of those whose observations are impossible."""
        found, status = self._evaluate(value, arguments)
        rest = tuple(range(status.ndim, found.ndim))
        impossible = ~jnp.all(jnp.isfinite(found), axis=rest)
        solved = status == int(Status.SUCCESS)
        return jnp.where(solved & impossible, int(Status.IMPOSSIBLE_OBSERVATION), status)

    def _shape(self, value: jax.Array) -> tuple[int, ...]:
        """Return the shape of the log-likelihoods of observations."""
        event_ndim = self.emissions[0].event_ndim if len(self.emissions) == 1 else 0
        return value.shape[: value.ndim - event_ndim]

    def _evaluate(
        self, value: jax.Array, arguments: tuple[jax.Array, ...], attempt: Attempt | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Return the log-likelihoods, and the `Status` of each subject."""
        n = self.equation.n_arguments
        seen, solution = self.equation.observed_trajectory(*arguments[:n], attempt=attempt)
        rest = arguments[n:]
        status = solution.status.reshape(seen.shape[: self.equation.batch_ndim])
        solved = status == int(Status.SUCCESS)
        if attempt is not None and attempt.active is not None:
            solved &= attempt.active

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
        log_likelihood = jnp.stack(terms, axis=-1) if len(terms) > 1 else terms[0]
        log_likelihood = jnp.broadcast_to(log_likelihood, self._shape(value))
        if not self.equation.times_in_order:  # what has no time was not observed
            absent = jnp.isnan(arguments[2])
            channels = log_likelihood.ndim - self.equation.batch_ndim - 1
            absent = absent.reshape(*absent.shape, *[1] * channels)
            log_likelihood = jnp.where(absent, 0.0, log_likelihood)
        return jnp.where(for_each(solved, log_likelihood.ndim), log_likelihood, -jnp.inf), status

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
        return self._evaluate(template, arguments)[0]

    @property
    def in_two_attempts(self) -> bool:
        """Whether there are two methods."""
        return self.equation.n_methods > 1

    def foreseen(self, template: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Return NaN for subjects that the first method gives up at once, 0 for others."""
        return vain_as_nan(self.equation, arguments, template.shape, template.dtype)

    def first_attempt(self, template: jax.Array, *arguments: jax.Array) -> jax.Array:
        """Solve by the first method; NaN for subjects for which another may help."""
        found, status = self._evaluate(template, arguments, Attempt(active=None))
        return left_undecided(found, status)

    def second_attempt(
        self, first: jax.Array, template: jax.Array, *arguments: jax.Array
    ) -> jax.Array:
        """Solve by the other methods for the subjects that were left; NaN for the rest."""
        active = undecided_subjects(first, self.equation, arguments)
        return self._evaluate(template, arguments, Attempt(active))[0]

    def _evaluate(
        self, template: jax.Array, arguments: tuple[jax.Array, ...], attempt: Attempt | None = None
    ) -> tuple[jax.Array, jax.Array]:
        seen, solution = self.equation.observed_trajectory(*arguments, attempt=attempt)
        status = solution.status.reshape(seen.shape[: self.equation.batch_ndim])
        return jnp.broadcast_to(seen, template.shape), status

    def __str__(self) -> str:
        return "ODE solution"


def vain_as_nan(
    equation: Equation, arguments: tuple[jax.Array, ...], shape: tuple[int, ...], dtype: Any
) -> jax.Array:
    """Return NaN where the first method would give up at once, 0 elsewhere; ``shape (..., T)``."""
    vain = equation.first_method_is_vain(*arguments[: equation.n_arguments])
    vain = vain.reshape(*vain.shape, *[1] * (len(shape) - vain.ndim))
    return jnp.where(jnp.broadcast_to(vain, shape), jnp.nan, jnp.zeros((), dtype))


def left_undecided(found: jax.Array, status: jax.Array) -> jax.Array:
    """Return results ``(..., T, ...)`` with NaN for subjects ``(...)`` that need another method.

    Nothing else is NaN.
    """
    found = jnp.where(jnp.isnan(found), -jnp.inf, found)
    undecided = wants_another_method(status)
    undecided = undecided.reshape(*undecided.shape, *[1] * (found.ndim - undecided.ndim))
    return jnp.where(undecided, jnp.nan, found)


def undecided_subjects(
    first: jax.Array, equation: Equation, arguments: tuple[jax.Array, ...]
) -> jax.Array:
    """Return for which subjects ``(...)`` of an equation results are NaN."""
    batch_shape = equation.batch_shape(arguments[: equation.n_arguments])
    undecided = jnp.isnan(first)
    rest = tuple(range(len(batch_shape), undecided.ndim))
    undecided = jnp.any(undecided, axis=rest)
    # Several rows of data may have one solution.
    shared = tuple(i for i, n in enumerate(batch_shape) if n == 1)
    return jnp.any(undecided, axis=shared, keepdims=True)
