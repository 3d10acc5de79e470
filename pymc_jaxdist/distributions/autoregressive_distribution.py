"""An `AutoRegressive` emission as PyMC and JAX see it: its parameters, log-density, draws."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.any_emission import AnyEmission
from pymc_jaxdist.distributions.arguments import describe, known_shape
from pymc_jaxdist.distributions.autoregressive import AutoRegressive
from pymc_jaxdist.distributions.emission import EmissionDistribution
from pymc_jaxdist.distributions.hidden_markov_draw import select_state
from pymc_jaxdist.errors import DistributionError, ShapeError, compose_message
from pymc_jaxdist.kernels.autoregression import AutoRegressiveEmission

__all__ = ["AutoRegressiveDistribution"]


class AutoRegressiveDistribution(AnyEmission):
    """An `AutoRegressive` emission, cut off from the model around it at its parameters.

    Made by `cut`. Its parameters are those of the innovations, the coefficients, the means and the
    first observations (each if given).
    """

    event_ndim = 0
    discrete = False
    memoryless = False
    event_shape: tuple[int | None, ...] = ()

    def __init__(
        self,
        innovation: EmissionDistribution,
        order: int,
        batch_shape: tuple[int | None, ...],
        mean_given: bool,
        remembers_states: bool,
        has_start: bool,
    ) -> None:
        self.innovation = innovation
        self.order = order
        self.batch_shape = batch_shape
        self.mean_given = mean_given
        self.remembers_states = remembers_states
        self.has_start = has_start
        self.memory = order + 1 if remembers_states else 1
        self.n_parameters = innovation.n_parameters + 1 + mean_given + has_start

    @classmethod
    def cut(
        cls, emission: AutoRegressive, where: str, observed: TensorVariable | None
    ) -> tuple["AutoRegressiveDistribution", list[TensorVariable]]:
        """Cut an emission off at its parameters.

        Parameters
        ----------
        emission : AutoRegressive
        where : str
            The distribution that holds it, for error messages.
        observed : (..., T) tensor, optional
            The channel, from whose first values random draws go on.
        """
        innovation, parameters = EmissionDistribution.cut(emission.innovations, where)
        if innovation.discrete or innovation.event_ndim:
            raise DistributionError(
                compose_message(
                    where,
                    "the innovations of an autoregression must be continuous and univariate.",
                    got=str(innovation),
                    suggestion="pm.Normal.dist(intercept, sigma)",
                )
            )
        shape = known_shape(emission.coefficients)
        if not shape or not shape[-1]:
            raise ShapeError(
                compose_message(
                    where,
                    "the last dimension of coefficients must be the lags.",
                    got=describe(emission.coefficients, shape),
                    expected="(p,), or (K, p) if they differ between states",
                    suggestion="coefficients[:, None] for one lag",
                )
            )
        parameters = [*parameters, emission.coefficients]
        shapes = [innovation.batch_shape, shape[:-1]]
        remembers_states = False
        if emission.mean is not None:
            own = known_shape(emission.mean)
            remembers_states = bool(own) and own[-1] != 1
            shapes.append(own)
            parameters.append(emission.mean)
        if observed is not None:
            parameters.append(observed[..., : shape[-1]].astype("float64"))
        made = cls(
            innovation,
            order=shape[-1],
            batch_shape=_together(where, shapes),
            mean_given=emission.mean is not None,
            remembers_states=remembers_states,
            has_start=observed is not None,
        )
        return made, parameters

    def kernel(
        self, batch_ndim: int, parameters: Sequence[TensorVariable]
    ) -> AutoRegressiveEmission:
        """Return the emission density as part of a JAX kernel."""
        own = self._own(parameters)
        # Residuals have an axis for the states, and one for histories if states are remembered.
        ndim = batch_ndim + 1 + self.remembers_states
        return AutoRegressiveEmission(
            innovation=self.innovation.kernel(ndim, own, per_state=False),
            order=self.order,
            mean_given=self.mean_given,
            remembers_states=self.remembers_states,
            has_start=self.has_start,
            n_states=self.batch_shape[-1] if self.batch_shape else None,
        )

    def log_cdf(
        self, batch_ndim: int, parameters: Sequence[TensorVariable]
    ) -> Callable[..., tuple[jax.Array, ...]]:
        """Return the logarithm of the conditional cumulative distribution function in JAX."""
        kernel = self.kernel(batch_ndim, parameters)
        own = self._own(parameters)
        ndim = batch_ndim + 1 + self.remembers_states
        graph = self.innovation.log_cdf(ndim, own, per_state=False)

        def log_cdf(value: jax.Array, *parameters: jax.Array) -> tuple[jax.Array, ...]:
            series = value[..., 0]
            found = kernel.of_residuals(lambda r, own: graph(r, *own)[0], series, parameters)
            return (jnp.where(kernel.scored(series)[..., None], found, jnp.nan),)

        return log_cdf

    def draw_along(
        self,
        parameters: Sequence[TensorVariable],
        states: TensorVariable,
        size: Sequence[Any],
        given: TensorVariable | None = None,
    ) -> TensorVariable:
        """Return a random draw along paths of the states, by recursion over the times."""
        *batch_shape, n_times, _ = size
        innovations = select_state(self.innovation.draw(self._own(parameters), size), states, 0)
        coefficients, mean = self._along(parameters, states, size)
        if given is None:
            given = pt.full(innovations.shape, np.nan)
            if self.has_start:
                n_start = pt.minimum(self.order, n_times)
                start = pt.broadcast_to(parameters[-1], (*batch_shape, n_start))
                given = pt.set_subtensor(given[..., : self.order], start)
        return _recursion(innovations, coefficients, mean, given, self.order)

    def normal_along(
        self, parameters: Sequence[TensorVariable], states: TensorVariable, size: Sequence[Any]
    ) -> tuple[TensorVariable, ...] | None:
        """Return what an autoregression with normal innovations is made of along paths.

        Parameters
        ----------
        parameters, states, size
            As for `draw_along`.

        Returns
        -------
        coefficients : (..., T, p) tensor
        mean, location, scale : (..., T) tensor
            Means of the values, and mean and standard deviation of the innovations. None instead
            of them all if innovations are not normal.
        """
        innovation = self.innovation.at(self._own(parameters))
        if self.innovation.family != "normal":
            return None
        location, scale = innovation.owner.op.dist_params(innovation.owner)
        return (
            *self._along(parameters, states, size),
            _select(location, states, size, 0),
            _select(scale, states, size, 0),
        )

    def _own(self, parameters: Sequence[TensorVariable]) -> Sequence[TensorVariable]:
        """Return the parameters of the innovations."""
        return parameters[: self.innovation.n_parameters]

    def _along(
        self, parameters: Sequence[TensorVariable], states: TensorVariable, size: Sequence[Any]
    ) -> tuple[TensorVariable, TensorVariable]:
        """Return coefficients ``(..., T, p)`` and means ``(..., T)`` along paths of the states."""
        coefficients, *rest = parameters[self.innovation.n_parameters :]
        if coefficients.type.ndim == 1:
            coefficients = coefficients[None]
        mean = _select(rest[0], states, size, 0) if self.mean_given else pt.zeros(size[:-1])
        return _select(coefficients, states, size, 1), mean

    def support_point(self, parameters: Sequence[TensorVariable]) -> TensorVariable:
        """Return a value inside the support for each batch entry."""
        n_own = self.innovation.n_parameters
        point = self.innovation.support_point(parameters[:n_own])
        return point + parameters[n_own + 1] if self.mean_given else point

    def __str__(self) -> str:
        return f"AutoRegressive({self.innovation})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AutoRegressiveDistribution) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.innovation, self.order, self.batch_shape, self.mean_given))


def _select(
    of_states: TensorVariable, states: TensorVariable, size: Sequence[Any], event_ndim: int
) -> TensorVariable:
    """Pick, from what broadcasts against ``(..., T, K)``, the entries of the states visited."""
    events = tuple(of_states.shape)[of_states.type.ndim - event_ndim :]
    return select_state(pt.broadcast_to(of_states, (*size, *events)), states, event_ndim)


def _recursion(
    innovations: TensorVariable,
    coefficients: TensorVariable,
    mean: TensorVariable,
    given: TensorVariable,
    order: int,
) -> TensorVariable:
    """Generate series ``(..., T)``; values that are given, not NaN, are kept."""

    def step(e: Any, given: Any, *rest: Any) -> Any:
        phi, past = rest[:order], rest[order:]
        value = e + sum(phi[n] * past[order - 1 - n] for n in range(order))
        return pt.where(pt.isnan(given), value, given)

    n_times = innovations.shape[-1]

    def rows(series: TensorVariable) -> TensorVariable:
        # One column more than there are series: scan is told of no axis that may turn out to
        # have length 1, which PyTensor would find out too late.
        columns = pt.moveaxis(series, -1, 0).reshape((n_times, -1))
        return pt.concatenate([columns, pt.zeros((n_times, 1))], axis=1)

    sequences = [innovations, given - mean, *(coefficients[..., n] for n in range(order))]
    flat = [rows(series) for series in sequences]
    before = pt.zeros((order, flat[0].shape[1]))
    if order == 1:  # as scan wants it for a single lag
        before = before[0]
    deviations = pytensor.scan(
        step,
        sequences=flat,
        outputs_info=[{"initial": before, "taps": list(range(-order, 0))}],
        strict=True,
        return_updates=False,
    )
    batch_shape = tuple(innovations.shape)[:-1]
    own = deviations[:, :-1].reshape((n_times, *batch_shape))
    return pt.moveaxis(own, 0, -1) + mean


def _together(where: str, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
    """Broadcast shapes in which some lengths are not known."""
    ndim = max(map(len, shapes))
    together = []
    for axis in range(-ndim, 0):
        lengths = {shape[axis] for shape in shapes if len(shape) >= -axis}
        known = lengths - {None, 1}
        if len(known) > 1:
            raise ShapeError(
                compose_message(
                    where,
                    "innovations, coefficients and mean of an autoregression must broadcast.",
                    got=", ".join(map(str, shapes)) + " (without the lags)",
                )
            )
        together.append(known.pop() if known else None if None in lengths else 1)
    return tuple(together)
