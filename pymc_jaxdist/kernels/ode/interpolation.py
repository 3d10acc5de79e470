"""Inputs of a differential equation that are known at some times and interpolated between."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.errors import ParameterError, compose_message

__all__ = ["Interpolated", "interpolated"]

KINDS = ("linear", "previous", "cubic")


class Interpolated:
    """A function of time given by values at some times; made by `interpolated`.

    Call it with a time. Before the first time it has the first value, after the last the last.
    """

    def __init__(self, times: Any, values: Any, kind: str, segment: Any = None) -> None:
        self.times, self.values, self.kind, self.segment = times, values, kind, segment

    def on_segment(self, segment: jax.Array) -> "Interpolated":
        """Return the function as seen by a step that begins at a time and passes no kink."""
        return Interpolated(self.times, self.values, self.kind, segment)

    def __call__(self, t: Any) -> jax.Array:
        """Evaluate the function at a time."""
        times, values = jnp.asarray(self.times), jnp.asarray(self.values)
        last = times.shape[0] - 1
        # The piece in which a step began holds to its end, where the next one already begins.
        where = t if self.segment is None or self.kind == "cubic" else self.segment
        index = jnp.searchsorted(times, where, side="right") - 1
        if self.kind == "previous":
            return values[jnp.clip(index, 0, last)]
        piece = jnp.clip(index, 0, max(last - 1, 0))
        following = jnp.minimum(piece + 1, last)
        left, right = times[piece], times[following]
        width = jnp.where(right > left, right - left, 1.0)
        u = (t - left) / width
        # Not `clip`: its derivative where a piece begins or ends, as steps do, is half of this.
        u = jnp.where(index < 0, 0.0, jnp.where((index >= last) | (u > 1.0), 1.0, u))
        low, high = values[piece], values[following]
        line = low + u * (high - low)
        if self.kind == "linear" or last == 0:
            return line
        before, after = jnp.maximum(piece - 1, 0), jnp.minimum(following + 1, last)

        def slope(first: jax.Array, second: jax.Array) -> jax.Array:
            span = times[second] - times[first]
            return (values[second] - values[first]) / jnp.where(span > 0, span, 1.0)

        at_left, at_right = slope(before, following) * width, slope(piece, after) * width
        rise = high - low
        return line + u * (1 - u) * ((1 - u) * (at_left - rise) + u * (rise - at_right))


jax.tree_util.register_pytree_node(
    Interpolated,
    lambda f: ((f.times, f.values), f.kind),
    lambda kind, children: Interpolated(*children, kind),
)


def interpolated(times: Any, values: Any, kind: str = "linear") -> Interpolated:
    """Make a function of time, to be passed among the ``params`` of a differential equation.

    Parameters
    ----------
    times : (M,) array_like
        Increasing times.
    values : (M,) or (M, d) array_like
        Values at these times; data or variables of the model. Per subject ``(..., M)`` or
        ``(..., M, d)``; if there are as many subjects as times, give times per subject as well.
    kind : {"linear", "previous", "cubic"}
        A straight line between values, the last value so far, or a smooth cubic (Catmull-Rom).

    Returns
    -------
    Interpolated
        In the vector field, ``params["input"](t)`` evaluates it. Steps of the integrator end at
        the kinks of lines and at jumps.

    Examples
    --------
    >>> rain = interpolated([0.0, 1.0, 3.0], [0.0, 2.0, 0.0])
    >>> float(rain(2.0))
    1.0
    >>> float(interpolated([0.0, 1.0, 3.0], [0.0, 2.0, 0.0], "previous")(2.0))
    2.0
    """
    if kind not in KINDS:
        raise ParameterError(
            compose_message(
                "interpolated",
                "kind is not known.",
                got=f"{kind!r:.60}",
                expected=", ".join(map(repr, KINDS)),
            )
        )
    return Interpolated(_as_one_leaf(times), _as_one_leaf(values), kind)


def _as_one_leaf(numbers: Any) -> Any:
    """Return lists as arrays: of a list, each number would be a parameter by itself."""
    return np.asarray(numbers) if isinstance(numbers, list | tuple) else numbers
