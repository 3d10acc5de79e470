"""Under ``vmap``, batches become more subjects."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

__all__ = ["batches_as_subjects"]


def batches_as_subjects(
    function: Callable[..., Any], axes: tuple[int, ...], axes_of_results: tuple[int, ...]
) -> Callable[..., Any]:
    """Return a function that ``vmap`` calls once, with the subjects of all batches.

    A loop whose condition differs between batches, as JAX makes it, copies all that the loop
    carries at every turn, and so each step of a solver the record of all steps.

    Parameters
    ----------
    function : callable
        Of pytrees of arrays, from each of which it computes each subject by itself; returns a
        tuple of such pytrees.
    axes, axes_of_results : tuple of int
        The axis of the subjects in the arrays of each argument and of each result.

    Examples
    --------
    >>> def number_of_subjects(x):
    ...     return (jnp.full(len(x), len(x)),)
    >>> of_subjects = batches_as_subjects(number_of_subjects, (0,), (0,))
    >>> print(jax.vmap(of_subjects)(jnp.ones((4, 3, 2)))[0])
    [[12 12 12]
     [12 12 12]
     [12 12 12]
     [12 12 12]]
    """

    @custom_vmap
    def call(*arguments: Any) -> Any:
        return tuple(function(*arguments))

    @call.def_vmap
    def of_batches(n_batches: int, batched: Any, *arguments: Any) -> Any:
        def joined(x: jax.Array, is_batched: bool, axis: int) -> jax.Array:
            if not is_batched:
                x = jnp.broadcast_to(x, (n_batches, *x.shape))
            axis %= x.ndim - 1
            x = jnp.moveaxis(x, 0, axis)
            n_subjects = n_batches * x.shape[axis + 1]
            return x.reshape(*x.shape[:axis], n_subjects, *x.shape[axis + 2 :])

        def apart(x: jax.Array, axis: int) -> jax.Array:
            axis %= x.ndim
            own = x.shape[axis] // n_batches
            x = x.reshape(*x.shape[:axis], n_batches, own, *x.shape[axis + 1 :])
            return jnp.moveaxis(x, axis, 0)

        results = call(
            *(
                jax.tree.map(lambda x, b, axis=axis: joined(x, b, axis), argument, is_batched)
                for argument, is_batched, axis in zip(arguments, batched, axes, strict=True)
            )
        )
        results = tuple(
            jax.tree.map(lambda x, axis=axis: apart(x, axis), result)
            for result, axis in zip(results, axes_of_results, strict=True)
        )
        return results, jax.tree.map(lambda _: True, results)

    return call
