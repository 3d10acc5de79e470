"""Arrays whose last axis is that of the subjects, of which each is at a row of its own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["each_subject", "put_row", "subjects_last", "take_row"]


def subjects_last(x: jax.Array) -> jax.Array:
    """Return an array ``(N, ...)`` as ``(..., N)``."""
    return jnp.moveaxis(x, 0, -1)


def each_subject(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of one subject as one of all of them."""
    of_all = jax.vmap(function, in_axes=-1, out_axes=-1)

    def of_each(*arguments: Any) -> Any:
        if jax.tree.leaves(arguments)[0].shape[-1] != 1:
            return of_all(*arguments)
        # The same for one, of which JAX makes fewer operations to compile.
        of_one = function(*jax.tree.map(lambda x: lax.squeeze(x, (x.ndim - 1,)), arguments))
        return jax.tree.map(lambda x: lax.expand_dims(x, (x.ndim,)), of_one)

    return of_each


def take_row(rows: jax.Array, index: jax.Array) -> jax.Array:
    """Return one row ``(N,)`` of ``(rows, N)``, each subject's own."""
    if rows.shape[-1] == 1:
        only = lax.squeeze(index, (0,))
        return lax.dynamic_index_in_dim(rows, only, keepdims=False, allow_negative_indices=False)
    return jnp.take_along_axis(rows, index[None], axis=0)[0]


def put_row(rows: jax.Array, index: jax.Array, where: jax.Array, values: jax.Array) -> jax.Array:
    """Write one row ``(..., N)`` into ``(rows, ..., N)``, each subject's own, where asked to."""
    n_subjects = rows.shape[-1]
    if n_subjects == 1:
        # What is written where it was not asked for is written again when it is.
        only = lax.squeeze(index, (0,))
        return lax.dynamic_update_index_in_dim(rows, values, only, 0, allow_negative_indices=False)
    index = jnp.where(where, index, rows.shape[0])
    values = jnp.moveaxis(values, -1, 0)
    return rows.at[index, ..., jnp.arange(n_subjects)].set(values, mode="drop")
