"""Signatures of functions of one unit, such as ``(n),(n,k)->()``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message

__all__ = ["UnitSignature"]

_ARGUMENT = re.compile(r"\(\s*((?:\w+\s*(?:,\s*\w+\s*)*)?)\)")


@dataclass(frozen=True)
class UnitSignature:
    """Core dimensions of parameters and value, by name.

    Attributes
    ----------
    parameters : tuple of tuple of str
        Names of the core dimensions of each parameter; a number is a fixed length.
    value : tuple of str
        Names of the core dimensions of the value.

    Examples
    --------
    >>> UnitSignature.parse("JaxDist", "(n),(n,k)->(k)", 2)
    UnitSignature(parameters=(('n',), ('n', 'k')), value=('k',))
    """

    parameters: tuple[tuple[str, ...], ...]
    value: tuple[str, ...]

    @classmethod
    def parse(cls, where: str, text: str | None, n_parameters: int) -> "UnitSignature":
        """Read a signature; None means that parameters and value are numbers.

        Raises
        ------
        ParameterError
            If it is no signature, or of another number of parameters.
        """
        if text is None:
            return cls(((),) * n_parameters, ())
        parts = text.split("->")
        found = [_core_dims(part) for part in parts]
        if len(parts) != 2 or None in found or len(found[1] or ()) != 1:
            raise ParameterError(
                compose_message(
                    where,
                    "signature must name the core dimensions of parameters and value.",
                    got=repr(text),
                    expected='as in "(n),(n,k)->()"',
                )
            )
        parameters, (value,) = found[0] or (), found[1] or ((),)
        if len(parameters) != n_parameters:
            raise ParameterError(
                compose_message(
                    where,
                    "signature and parameters differ in number.",
                    got=f"{n_parameters} parameters and the signature {text!r}",
                    expected=f"{len(parameters)} parameters",
                )
            )
        return cls(parameters, value)

    @property
    def core_ndims(self) -> tuple[int, ...]:
        """Number of core dimensions of the value, then of each parameter."""
        return (len(self.value), *(len(names) for names in self.parameters))

    def lengths(
        self,
        where: str,
        names_of: Sequence[str],
        shapes: Sequence[tuple[int | None, ...]],
        value_shape: tuple[int | None, ...] | None,
    ) -> dict[str, int | None]:
        """Find the lengths of the core dimensions.

        Parameters
        ----------
        where : str
            For error messages.
        names_of : sequence of str
            What to call the parameters in error messages.
        shapes : sequence of tuple
            Shapes of the parameters, with None for what is unknown.
        value_shape : tuple, optional
            Shape of the value.

        Raises
        ------
        ShapeError
            If a parameter or the value has too few dimensions, or a dimension two lengths.
        """
        arguments = list(zip(names_of, self.parameters, shapes, strict=True))
        if value_shape is not None:
            arguments.append(("the value", self.value, value_shape))
        found: dict[str, int | None] = {}
        told_by: dict[str, str] = {}
        for label, names, shape in arguments:
            if len(shape) < len(names):
                raise ShapeError(
                    compose_message(
                        where,
                        f"{label} has fewer dimensions than its signature.",
                        got=f"shape {shape}",
                        expected=f"(..., {', '.join(names)})",
                    )
                )
            for name, length in zip(names, shape[len(shape) - len(names) :], strict=True):
                known = int(name) if name.isdecimal() else found.get(name)
                if known is not None and length is not None and known != length:
                    raise ShapeError(
                        compose_message(
                            where,
                            f"core dimension '{name}' has two lengths.",
                            got=f"{length} in {label}",
                            expected=f"{known}, as in {told_by.get(name, 'the signature')}",
                        )
                    )
                found[name] = known if known is not None else length
                if length is not None:
                    told_by.setdefault(name, label)
        for name in self.value:
            found.setdefault(name, int(name) if name.isdecimal() else None)
        return found

    def as_text(self, n_numbers: int = 0) -> str:
        """Write the signature, with so many more parameters that are numbers."""
        arguments = [*self.parameters, *((),) * n_numbers]
        return ",".join(map(_in_brackets, arguments)) + "->" + _in_brackets(self.value)


def _core_dims(text: str) -> tuple[tuple[str, ...], ...] | None:
    text = text.strip()
    if not text:
        return ()
    arguments = _ARGUMENT.findall(text)
    if re.sub(r"\s", "", ",".join(f"({a})" for a in arguments)) != re.sub(r"\s", "", text):
        return None
    return tuple(tuple(n.strip() for n in a.split(",") if n.strip()) for a in arguments)


def _in_brackets(names: Sequence[str]) -> str:
    return f"({','.join(names)})"
