"""The posterior of hidden Markov chains by recursions compiled for the processor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from pymc_jaxdist.kernels.chain import Chain
from pymc_jaxdist.kernels.native.status import EXACT, IMPOSSIBLE
from pymc_jaxdist.kernels.posterior import (
    Posterior,
    scaled_posterior,
    settled_posterior,
    with_transitions,
)
from pymc_jaxdist.kernels.underflow import loss_thresholds

__all__ = ["native_factors", "native_posterior", "serves"]

Result = TypeVar("Result")

# Loops over so few states are unrolled, at the price of one compilation for each number.
MAX_UNROLLED_STATES = 4


# With more states, XLA's matrix products win: by 2 at 200 states, by nothing at 50.
MAX_STATES = 64


def serves(chain: Chain) -> bool:
    """Tell whether `native_posterior` is the one to use: in double precision, on a processor."""
    ll = chain.log_likelihoods
    return ll.dtype == jnp.float64 and ll.shape[-1] <= MAX_STATES and jax.default_backend() == "cpu"


def native_posterior(chain: Chain) -> Posterior:
    """Compute the posterior by recursions that Numba compiled.

    The twin of `settled_posterior`, or of `scaled_posterior` with its transitions if the transition
    matrix varies in time, and several times as fast. Its derivatives are those of its twin.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> ll = jnp.array([[0.0, -1.0], [-2.0, 0.0]])
    >>> chain, _ = flatten_batch(ll, jnp.ones(2) / 2, jnp.eye(2), None)
    >>> print(native_posterior(chain).states[0].round(3))
    [[0.269 0.731]
     [0.269 0.731]]
    """

    def twin(chain: Chain) -> Posterior:
        if chain.static:
            return settled_posterior(chain)
        return with_transitions(chain, scaled_posterior(chain))

    return _with_derivatives(_posterior, twin, chain)


def native_factors(chain: Chain) -> tuple[jax.Array, jax.Array]:
    """Compute the factors of the expected transitions of each sequence.

    Parameters
    ----------
    chain : Chain
        With transition matrices that vary in time, which all sequences share.

    Returns
    -------
    before, evidence : Array, shape (N, T, K)
        As in `Posterior`.
    """

    def twin(chain: Chain) -> tuple[Any, Any]:
        scaled = scaled_posterior(chain)
        return scaled.before, scaled.evidence

    def compute(chain: Chain) -> tuple[Any, Any]:
        *_, before, evidence = _call(chain, factors=True)
        return before, evidence

    return _with_derivatives(compute, twin, chain)


def _with_derivatives(
    compute: Callable[[Chain], Result], twin: Callable[[Chain], Result], chain: Chain
) -> Result:
    """Compute something of a chain; where derivatives are asked for, they are those of its twin."""

    def of_arrays(function: Callable[[Chain], Result]) -> Callable[..., Result]:
        def call(ll: jax.Array, start: jax.Array, matrix: jax.Array) -> Result:
            return function(Chain(ll, start, matrix, chain.active))

        return call

    differentiable = jax.custom_jvp(of_arrays(compute))

    @differentiable.defjvp
    def derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, ...]:
        return jax.jvp(of_arrays(twin), primals, tangents)

    result: Result = differentiable(
        chain.log_likelihoods, chain.initial_probs, chain.transition_matrix
    )
    return result


def _posterior(chain: Chain) -> Posterior:
    log_likelihood, status, states, first, pairs, *_ = _call(chain)
    summed = chain.shared and not chain.static
    return Posterior(
        log_likelihood,
        status == EXACT,
        status == IMPOSSIBLE,
        states,
        first,
        **{"total" if summed else "pairs": pairs},
    )


def _call(chain: Chain, factors: bool = False) -> Sequence[jax.Array]:
    """Return the results of `posterior_handler`, its factors in place of the pairs if asked for."""
    ll = chain.log_likelihoods
    sequences, times, states = ll.shape
    _, filtered = loss_thresholds(ll.dtype)
    if chain.active is None:
        lengths = jnp.full(sequences, times, dtype=jnp.int64)
        order = jnp.arange(sequences, dtype=jnp.int64)
    else:
        lengths = jnp.sum(chain.active, axis=1, dtype=jnp.int64)
        # Lanes of similar length waste least.
        order = jnp.argsort(lengths, descending=True).astype(jnp.int64)

    def number(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, ll.dtype)

    series = number(sequences, times, states)
    summed = chain.shared and not chain.static
    groups = 0 if factors else 1 if summed else sequences
    transitions = [number(groups, *chain.transition_matrix.shape[1:])]
    if summed:
        factor = series if factors else number(0, times, states)
        transitions += [factor, factor]
    results: Sequence[jax.Array] = jax.ffi.ffi_call(
        _target(states if states <= MAX_UNROLLED_STATES else 0, not chain.shared, chain.static),
        (number(sequences), number(sequences), series, number(sequences, states), *transitions),
        vmap_method="sequential",
    )(
        ll,
        chain.initial_probs,
        chain.transition_matrix,
        order,
        lengths,
        times * states * jnp.arange(sequences + 1, dtype=jnp.int64),
        jnp.full(1, 1 / filtered, dtype=ll.dtype),
    )
    return results


@lru_cache
def _target(unrolled: int, own_matrix: bool, constant: bool) -> str:
    """Compile and register the handler; return its name."""
    # Numba takes a second to import, which a user without hidden Markov models need not wait.
    from pymc_jaxdist.kernels.native.chains import posterior_handler
    from pymc_jaxdist.kernels.native.foreign_function import register

    name = f"pymc_jaxdist_hidden_markov_posterior_{unrolled}_{own_matrix}_{constant}"
    register(name, posterior_handler(unrolled, own_matrix, constant))
    return name
