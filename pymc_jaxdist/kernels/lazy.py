"""Computing something only if it is needed, under ``vmap`` too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["run_if_any"]

T = TypeVar("T")


def run_if_any(flags: jax.Array, compute: Callable[[T], T], default: T) -> T:
    """Give ``compute(default)`` if any flag is set, else `default`.

    ``lax.cond`` would become a ``select`` under ``vmap``, which computes both branches
    always. A loop of at most one turn does not: its body runs only while some element of
    the batch asks for it. The price is that it cannot be differentiated in reverse mode.

    Parameters
    ----------
    flags : Array of bool
    compute : callable
        From and to a pytree of arrays like `default`.
    default : pytree of Array

    Returns
    -------
    pytree of Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(run_if_any(jnp.array([False, True]), lambda x: x + 1, jnp.zeros(2)))
    [1. 1.]
    """

    def once(state: tuple[jax.Array, T]) -> tuple[jax.Array, T]:
        return jnp.zeros((), dtype=bool), compute(state[1])

    return lax.while_loop(lambda state: state[0], once, (jnp.any(flags), default))[1]
