"""What the functions of a differential equation return, tried on shapes alone."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message
from pymc_jaxdist.kernels.ode.equation import Equation
from pymc_jaxdist.kernels.ode.events import JumpEvent
from pymc_jaxdist.ops.precision import double_precision

__all__ = ["check_fields"]


def check_fields(
    where: str,
    equation: Equation,
    n_states: int,
    leaves: Sequence[tuple[tuple[int | None, ...], str]],
) -> tuple[tuple[int, ...], tuple[str, ...] | None]:
    """Try the user's functions on shapes alone; return what is seen of a state.

    Lengths that are not known yet count as 1.

    Returns
    -------
    shape : tuple of int
        Of what is seen.
    names : tuple of str or None
        Of its parts, if a function to observe returns a dictionary.
    """
    with double_precision():
        t = jax.ShapeDtypeStruct((), jnp.float64)
        y = jax.ShapeDtypeStruct((n_states,), jnp.float64)
        arrays = [
            jax.ShapeDtypeStruct(tuple(1 if n is None else n for n in shape), dtype)
            for shape, dtype in leaves
        ]
        slope = _try(where, equation, "vector_field", t, y, arrays)
        for event in equation.events:
            if isinstance(event, JumpEvent):
                _check_jump(where, equation, event, n_states, y, arrays)
        if slope != (n_states,):
            raise ShapeError(
                compose_message(
                    where,
                    "vector_field must return the derivative of each state.",
                    got=f"shape {slope}",
                    expected=f"({n_states},), because y0 has {n_states} states",
                    suggestion="jnp.stack([...]) of one number per state; parameters of single "
                    f"subjects have shapes {[tuple(a.shape) for a in arrays]}",
                )
            )
        if not callable(equation.observe):
            seen = np.empty(n_states)
            part = ... if equation.observe is None else np.asarray(equation.observe)
            return np.shape(seen[part]), None
        return _observed_parts(where, equation, t, y, arrays)


def _observed_parts(
    where: str, equation: Equation, t: Any, y: Any, arrays: list[Any]
) -> tuple[tuple[int, ...], tuple[str, ...] | None]:
    names: list[str] = []

    def observe(t: Any, y: Any, params: Any) -> Any:
        parts = equation.observe(t, y, params)  # type: ignore[operator, misc]
        if not isinstance(parts, dict):
            return parts
        names[:] = parts
        return list(parts.values())

    shape = _try(where, equation, "observe", t, y, arrays, observe)
    if names and shape != (len(names),):
        raise ShapeError(
            compose_message(
                where,
                "a function to observe that returns a dictionary must return numbers in it.",
                got=f"{', '.join(map(str, names))} of shape {shape[1:]}",
                expected="one number for each name, at one time of one subject",
            )
        )
    return shape, tuple(names) or None


def _check_jump(
    where: str, equation: Equation, event: JumpEvent, n_states: int, y: Any, arrays: list[Any]
) -> None:
    after = _try(
        where,
        equation,
        "the function of Jumps",
        None,
        y,
        arrays,
        lambda t, y, params: event.function(y, params),
        "y, params",
    )
    if after != (n_states,):
        raise ShapeError(
            compose_message(
                where,
                "the function of Jumps must return all states, as they are after the jump.",
                got=f"shape {after}",
                expected=f"({n_states},), because y0 has {n_states} states",
                suggestion="lambda y, p: y.at[0].add(1.0), which changes one of them",
            )
        )


def _try(
    where: str,
    equation: Equation,
    name: str,
    t: Any,
    y: Any,
    arrays: list[Any],
    function: Any = None,
    arguments: str = "t, y, params",
) -> tuple[Any, ...]:
    function = getattr(equation, name) if function is None else function
    try:
        return jax.eval_shape(
            lambda t, y, leaves: equation.evaluate(function, t, y, leaves), t, y, arrays
        ).shape
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        kind = type(error).__name__
        raise ParameterError(
            compose_message(
                where,
                f"{name} must be written in jax.numpy.",
                got=f"{kind}: something in it needs numbers, not traced arrays",
                expected="jnp.exp instead of np.exp, jnp.where instead of if, no float(...)",
                suggestion="import jax.numpy as jnp",
            )
        ) from None
    except Exception as error:
        state = "a dictionary of states" if equation.state_names else f"of shape {y.shape}"
        raise ParameterError(
            compose_message(
                where,
                f"{name} fails.",
                got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                expected=f"a function of ({arguments}), y being {state}, for one subject",
            )
        ) from error
