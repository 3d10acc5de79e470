"""Absolute tolerances of a solution for which nobody asked."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.distributions.arguments import known_value
from pymc_jaxdist.distributions.ode_arguments import DEFAULT_ATOL, PreparedEquation, shape_of
from pymc_jaxdist.distributions.ode_likelihood import Likelihood
from pymc_jaxdist.kernels.ode.matrix_exponential import LinearODE
from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4
from pymc_jaxdist.ops.precision import double_precision

__all__ = ["default_atol"]

# Far from where data are likely hare almost die out. If an error makes them negative, or many times
# as many, the log-density of a logarithm is -inf, or wrong, and chains stay there: 1 of 20 chains
# of nutpie with 1e-30, none with 1e-100. But that takes three times as many steps while a state
# decays so far. Those that the likelihood sees only through others are spared them.
OBSERVED_ATOL, POSITIVE_ATOL = 1e-100, 1e-30
# Random states and parameters, of any order of magnitude (powers of e).
TRIALS, MAGNITUDES = 64, 5.0


def default_atol(prepared: PreparedEquation, likelihood: Likelihood) -> float | tuple[float, ...]:
    """Return tolerances with which states stay positive whose logarithm the likelihood takes.

    Other states that can only be positive must stay so too, since the former depend on them. A
    state of any sign, such as a velocity, may come to rest at what is zero but for rounding, which
    no step is small enough to compute accurately relative to itself.
    """
    equation = prepared.equation
    if isinstance(equation.vector_field, LinearODE) or isinstance(equation.solver, RK4):
        return DEFAULT_ATOL  # there is no error to be controlled
    *_, n_seen = (1, *prepared.seen_shape)
    seen = likelihood.components_under_logarithms(n_seen)
    if not seen:
        return DEFAULT_ATOL
    observe = equation.observe
    states: set[int] = set()
    if observe is None:
        states = seen
    elif isinstance(observe, int):
        states = {observe}
    elif isinstance(observe, tuple):
        states = {observe[position] for position in seen}
    return tuple(
        OBSERVED_ATOL if state in states else POSITIVE_ATOL if positive else DEFAULT_ATOL
        for state, positive in enumerate(_stay_positive(prepared))
    )


def _stay_positive(prepared: PreparedEquation) -> list[bool]:
    """Tell for each state whether it never falls from zero while none is negative.

    That is tried where a random half of the states is zero. The other states, and parameters whose
    values are not known, are random.
    """
    equation, n_batch = prepared.equation, len(prepared.batch_shape)
    (n_states,) = shape_of(prepared.arguments[0])[-1:]
    assert n_states is not None
    rng = np.random.default_rng(0)
    leaves = []
    arguments = equation.arguments[3 : 3 + equation.structure.num_leaves]
    for x, argument in zip(prepared.arguments[3:], arguments, strict=False):
        lead = n_batch if argument.batched else 0
        value = known_value(x)
        if value is None:
            shape = tuple(n or 1 for n in shape_of(x)[lead:])
            value = rng.lognormal(0.0, MAGNITUDES, (TRIALS, *shape)).astype(x.type.dtype)
        else:
            value = np.broadcast_to(value[(0,) * lead], (TRIALS, *value.shape[lead:]))
        leaves.append(value)

    def slope(y: jax.Array, leaves: Sequence[jax.Array]) -> jax.Array:
        return equation.evaluate(equation.vector_field, jnp.zeros(()), y, leaves)

    present = rng.random((TRIALS, n_states)) < 0.5
    states = np.where(present, rng.lognormal(0.0, MAGNITUDES, (TRIALS, n_states)), 0.0)
    with double_precision():
        slopes = np.asarray(jax.jit(jax.vmap(slope))(states, leaves))
    falls = np.asarray(np.any(~present & (slopes < 0.0), axis=0))
    return [not fall for fall in falls]
