r"""Non-negative numbers that neither overflow nor underflow, and keep their derivatives.

A number is stored as ``mantissa * exp(exponent)``. The exponent is a plain logarithm
without a derivative; the mantissa is 1 or 0, and carries the derivative. Compared with
storing the logarithm alone, a zero stays an ordinary number: the logarithm of a
structural zero has an infinite derivative, whereas ``mantissa = 0`` has the right one.
That is what keeps first and second derivatives at forbidden transitions finite and
correct, without a floor under the probabilities.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["Extended"]


class Extended(NamedTuple):
    """An array of numbers ``mantissa * exp(exponent)``.

    Attributes
    ----------
    mantissa : Array
        1 or 0 in value, with the derivative of the number relative to its scale.
    exponent : Array
        The logarithm of the number; for a zero, the scale of its derivative.

    Examples
    --------
    A product of probabilities far below the smallest float64:

    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> tiny = Extended.from_value(jnp.array([1e-30, 0.0]))
    >>> power = Extended(tiny.mantissa, 20 * tiny.exponent)
    >>> print(np.asarray(power.sum(axis=0).log()).round(2))
    -1381.55
    """

    mantissa: jax.Array
    exponent: jax.Array

    @staticmethod
    def from_value(x: jax.Array) -> Extended:
        """Represent non-negative numbers."""
        scale = lax.stop_gradient(jnp.where(x > 0, x, 1))
        return Extended(x / scale, jnp.log(scale))

    @staticmethod
    def from_log(log_x: jax.Array) -> Extended:
        """Represent numbers known by their logarithm, which may be -inf."""
        possible = log_x > -jnp.inf
        finite = jnp.where(possible, log_x, 0)
        exponent = lax.stop_gradient(finite)
        return Extended(jnp.where(possible, jnp.exp(finite - exponent), 0), exponent)

    def times(self, other: Extended) -> Extended:
        """Multiply elementwise."""
        return Extended(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def at(self, index: object) -> Extended:
        """Index mantissa and exponent alike."""
        return Extended(self.mantissa[index], self.exponent[index])  # type: ignore[index]

    def where(self, condition: jax.Array, other: Extended) -> Extended:
        """Keep self where `condition` holds and take `other` elsewhere."""
        return Extended(
            jnp.where(condition, self.mantissa, other.mantissa),
            jnp.where(condition, self.exponent, other.exponent),
        )

    def top(self, axis: int) -> jax.Array:
        """Give the largest exponent of a non-zero number along `axis`; -inf if all are zero."""
        return jnp.max(jnp.where(self.mantissa > 0, self.exponent, -jnp.inf), axis=axis)

    def sum(self, axis: int) -> Extended:
        """Sum along one axis."""
        top = self.top(axis)
        # If every term is zero, the largest of their scales serves their derivatives.
        scale = jnp.where(jnp.isfinite(top), top, jnp.max(self.exponent, axis=axis))
        relative = _bounded_exp(self.exponent - jnp.expand_dims(scale, axis))
        total = jnp.sum(self.mantissa * relative, axis=axis)
        size = lax.stop_gradient(jnp.where(total > 0, total, 1))
        return Extended(total / size, scale + jnp.log(size))

    def over(self, divisor: Extended, possible: jax.Array) -> jax.Array:
        """Divide, as an ordinary number that stays finite.

        Parameters
        ----------
        divisor : Extended
        possible : Array of bool
            Where the quotient is a derivative with respect to a positive number. That is at
            most the inverse of the number. The derivative with respect to a zero can exceed
            any float: it saturates at the square root of the largest float, so that it
            remains finite when a caller multiplies it on the way to that zero.
        """
        largest = math.log(float(jnp.finfo(self.exponent.dtype).max))
        # A million terms at the limit can be summed.
        limit = jnp.where(possible, largest - math.log(1e6), largest / 2)
        exponent = jnp.minimum(self.exponent - divisor.exponent, limit.astype(self.exponent.dtype))
        return self.mantissa / divisor.mantissa * jnp.exp(exponent)

    def value(self) -> jax.Array:
        """Give ordinary numbers, which may underflow."""
        return self.mantissa * _bounded_exp(self.exponent)

    def log(self) -> jax.Array:
        """Give the logarithm; -inf for zero."""
        positive = self.mantissa > 0
        safe = jnp.where(positive, self.mantissa, 1)
        return jnp.where(positive, jnp.log(safe) + self.exponent, -jnp.inf)


def _bounded_exp(x: jax.Array) -> jax.Array:
    # Only numbers with mantissa 0 can be far above the scale; they must not become NaN.
    return jnp.exp(jnp.minimum(x, math.log(float(jnp.finfo(x.dtype).max)) / 2))
