"""Random draws by a user's function, in NumPy or in JAX, as a PyTensor random variable."""

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import jax
import numpy as np
from pytensor.tensor.random.op import RandomVariable

from pymc_jaxdist.errors import (
    DrawsError,
    FunctionError,
    ParameterError,
    ShapeError,
    compose_message,
)
from pymc_jaxdist.kernels.units import map_units
from pymc_jaxdist.ops.by_value import ByValue
from pymc_jaxdist.ops.linkers import know_our_ops
from pymc_jaxdist.ops.precision import double_precision

__all__ = ["UnitRandom", "random_style"]

Style = Literal["numpy", "jax", "none"]


def random_style(where: str, function: Callable[..., Any] | None) -> Style:
    """Tell from its arguments in which of the two ways a function draws.

    Raises
    ------
    ParameterError
        If it takes neither ``rng`` and ``size`` nor ``key``.
    """
    if function is None:
        return "none"
    names = list(inspect.signature(function).parameters)
    if {"rng", "size"} <= set(names):
        return "numpy"
    if names and names[0] == "key":
        return "jax"
    raise ParameterError(
        compose_message(
            where,
            "random must draw with NumPy for all units or with JAX for one.",
            got=f"a function of ({', '.join(names)})",
            expected="random(*parameters, rng, size) or random(key, *parameters)",
        )
    )


class UnitRandom(RandomVariable):
    """Draws of units by a user's function.

    Parameters
    ----------
    where : str
        The distribution, for error messages.
    function : ByValue
        ``(*parameters, rng, size)`` of NumPy arrays for all units at once, or
        ``(key, *parameters)`` of JAX arrays for one unit.
    style : {"numpy", "jax", "none"}
        Which of the two; "none" draws nothing and says so when asked to.
    n_lengths : int
        The last so many parameters are the lengths of core dimensions of the value that no other
        parameter tells, in order.
    signature : str
        Of all parameters and the value.
    dtype : str
        Of the draws.
    """

    name = "JaxDist"
    __props__ = ("name", "signature", "dtype", "inplace", "where", "function", "style", "n_lengths")

    def __new__(cls, *args: Any, **kwargs: Any) -> "UnitRandom":
        """Tell PyTensor's backends of our Ops, also where one is unpickled."""
        know_our_ops()
        return super().__new__(cls)

    def __init__(
        self,
        where: str,
        function: ByValue,
        style: Style,
        n_lengths: int,
        signature: str,
        dtype: str,
        inplace: bool = False,
        name: str | None = None,
    ) -> None:
        self.where = where
        self.function = function
        self.style = style
        self.n_lengths = n_lengths
        super().__init__(name=name, signature=signature, dtype=dtype, inplace=inplace)

    def _supp_shape_from_params(
        self, dist_params: Sequence[Any], param_shapes: Any = None
    ) -> list[Any]:
        """Return the lengths of the core dimensions of the value."""
        lengths = list(dist_params[len(dist_params) - self.n_lengths :])
        known: dict[str, Any] = {}
        for names, parameter in zip(self.inputs_sig, dist_params, strict=True):
            shape = tuple(parameter.shape)
            known.update(zip(names, shape[len(shape) - len(names) :], strict=True))
        return [
            int(name)
            if name.isdecimal()
            else (known[name] if name in known else lengths.pop(0).flatten()[0].astype("int64"))
            for name in self.output_sig
        ]

    def rng_fn(self, rng: np.random.Generator, *arguments: Any) -> np.ndarray:
        """Draw."""
        *parameters, size = arguments
        lengths = [int(np.ravel(n)[0]) for n in parameters[len(parameters) - self.n_lengths :]]
        parameters = parameters[: len(parameters) - self.n_lengths]
        core_ndims = self.ndims_params[: len(parameters)]
        if size is None:
            size = np.broadcast_shapes(
                *(
                    np.shape(x)[: np.ndim(x) - n]
                    for x, n in zip(parameters, core_ndims, strict=True)
                )
            )
        size = tuple(int(n) for n in size)
        if self.style == "none":
            raise DrawsError(
                compose_message(
                    self.where,
                    "random draws were asked for, and no function draws them.",
                    suggestion="random=lambda a, b, rng, size: rng.normal(a, b, size)",
                )
            )
        if self.style == "numpy":
            draw = np.asarray(self.function(*parameters, rng=rng, size=size))
        else:
            seed = int(rng.integers(2**63))
            with double_precision():
                draw = np.asarray(
                    _draw_in_jax(self.function, tuple(core_ndims), size)(seed, *parameters)
                )
        self._check(draw, size, lengths)
        return draw.astype(self.dtype)

    def _check(self, draw: np.ndarray, size: tuple[int, ...], lengths: list[int]) -> None:
        if draw.shape[: len(size)] == size and draw.ndim == len(size) + self.ndim_supp:
            return
        core = ", ".join(self.output_sig)
        raise ShapeError(
            compose_message(
                self.where,
                "random returned draws of another shape.",
                got=f"{draw.shape}",
                expected=f"{size} and the core dimensions ({core})",
            )
        )


@lru_cache(maxsize=64)
def _draw_in_jax(
    function: ByValue, core_ndims: tuple[int, ...], size: tuple[int, ...]
) -> Callable[..., Any]:
    def draw(seed: jax.Array, *parameters: jax.Array) -> jax.Array:
        keys = jax.random.split(jax.random.key(seed), size)
        try:
            return map_units(function, (keys, *parameters), (0, *core_ndims), size)
        except Exception as error:
            raise FunctionError(
                compose_message(
                    "JaxDist",
                    "random fails in JAX.",
                    got=f"{type(error).__name__}: {str(error).splitlines()[0]:.150}",
                    expected="random(key, *parameters) of one unit, in jax.random and jax.numpy",
                )
            ) from error

    return jax.jit(draw)
