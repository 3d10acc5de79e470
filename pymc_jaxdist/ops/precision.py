"""Double precision, whatever the user has or has not configured."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.errors import PrecisionError, compose_message

__all__ = ["double_precision", "in_double_precision", "require_double_precision"]

_nothing = nullcontext()

# As PyTensor's JAX backend does when it is imported, which is later here. It must happen before
# ours looks, or a JAX kernel in a C or Numba graph would silently compute in single precision.
jax.config.update("jax_enable_x64", pytensor.config.floatX == "float64")


def double_precision() -> AbstractContextManager[Any]:
    """Return a context in which JAX computes in float64 (free when it already does)."""
    if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        return _nothing
    return jax.enable_x64(True)


def in_double_precision(x: Any) -> TensorVariable:
    """Return ``x`` as a tensor; floats become float64, integers and booleans stay."""
    variable = pt.as_tensor_variable(x)
    if variable.type.dtype.startswith("float") and variable.type.dtype != "float64":
        return pt.cast(variable, "float64")
    return variable


def require_double_precision() -> None:
    """Refuse to become part of a JAX computation that runs in float32.

    Raises
    ------
    PrecisionError
        If JAX is set to single precision. Inside somebody else's JAX function the precision
        cannot be changed, only refused.
    """
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise PrecisionError(
            compose_message(
                "pymc_jaxdist in JAX mode",
                "log-densities need double precision, and JAX is set to single precision.",
                got="jax_enable_x64 = False",
                expected="jax_enable_x64 = True",
                suggestion='jax.config.update("jax_enable_x64", True), and floatX = "float64"',
            )
        )
