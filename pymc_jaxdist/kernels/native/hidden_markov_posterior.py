"""The posterior of hidden Markov chains by recursions compiled for the processor."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from pymc_jaxdist.kernels.chain import Chain
from pymc_jaxdist.kernels.native.status import EXACT, IMPOSSIBLE
from pymc_jaxdist.kernels.posterior import Posterior, scaled_posterior, settled_posterior
from pymc_jaxdist.kernels.underflow import loss_thresholds

__all__ = ["native_posterior", "serves"]

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

    The twin of `settled_posterior`, or of `scaled_posterior` if the transition matrix varies in
    time, and several times as fast. Its derivatives are those of its twin.

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

    @jax.custom_jvp
    def compute(ll: jax.Array, start: jax.Array, matrix: jax.Array) -> Posterior:
        return _call(Chain(ll, start, matrix, chain.active))

    @compute.defjvp
    def derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, ...]:
        def twin(ll: jax.Array, start: jax.Array, matrix: jax.Array) -> Posterior:
            same = Chain(ll, start, matrix, chain.active)
            return settled_posterior(same) if same.static else scaled_posterior(same)

        return jax.jvp(twin, primals, tangents)

    return compute(chain.log_likelihoods, chain.initial_probs, chain.transition_matrix)


def _call(chain: Chain) -> Posterior:
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
    products = (number(sequences, states, states),) if chain.static else (series, series)
    log_likelihood, status, posterior, first, *rest = jax.ffi.ffi_call(
        _target(states if states <= MAX_UNROLLED_STATES else 0, not chain.shared, chain.static),
        (number(sequences), number(sequences), series, number(sequences, states), *products),
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
    pairs, before, evidence = (rest[0], None, None) if chain.static else (None, *rest)
    return Posterior(
        log_likelihood,
        status == EXACT,
        status == IMPOSSIBLE,
        posterior,
        first,
        pairs,
        before,
        evidence,
    )


@lru_cache
def _target(unrolled: int, own_matrix: bool, constant: bool) -> str:
    """Compile and register the handler; return its name."""
    # Numba takes a second to import, which a user without hidden Markov models need not wait.
    from pymc_jaxdist.kernels.native.chains import posterior_handler
    from pymc_jaxdist.kernels.native.foreign_function import register

    name = f"pymc_jaxdist_hidden_markov_posterior_{unrolled}_{own_matrix}_{constant}"
    register(name, posterior_handler(unrolled, own_matrix, constant))
    return name
