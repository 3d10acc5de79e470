"""The errors of the package and the one builder of their messages.

Every message answers the same questions in the same order: where, what is wrong, what was
found, what was expected, what to do instead::

    MarginalHMM 'weather': transition_matrix must have shape (..., K, K).
      got       (3, 2)  from variable 'P'
      expected  (3, 3)  because initial_probs has K = 3
      try       pm.Dirichlet('P', a=np.ones((3, 3)))
"""

__all__ = [
    "DataError",
    "DistributionError",
    "DrawsError",
    "ForkedProcessError",
    "FunctionError",
    "JaxDistError",
    "ParameterError",
    "PrecisionError",
    "ShapeError",
    "SizeError",
    "compose_message",
]


class JaxDistError(Exception):
    """Base of every error this package raises on purpose."""


class ShapeError(JaxDistError, ValueError):
    """An argument has a shape that does not fit the others."""


class ParameterError(JaxDistError, ValueError):
    """An argument has a value outside its domain."""


class DataError(JaxDistError, ValueError):
    """The observed data do not fit the distribution."""


class DistributionError(JaxDistError, TypeError):
    """An argument that must be an unregistered PyMC distribution is something else."""


class FunctionError(JaxDistError, TypeError):
    """A function that must run in JAX does not, or returns something else than it should."""


class DrawsError(JaxDistError, NotImplementedError):
    """Random draws were asked for of a distribution that has none."""


class ForkedProcessError(JaxDistError, RuntimeError):
    """JAX would hang here: this process was forked from one in which JAX had started."""


class PrecisionError(JaxDistError, RuntimeError):
    """JAX would compute in single precision although double precision was promised."""


class SizeError(JaxDistError, MemoryError):
    """One evaluation would need more memory than there is."""


def compose_message(
    where: str,
    problem: str,
    *,
    got: object = None,
    expected: object = None,
    suggestion: str | None = None,
) -> str:
    """Build an error message in the house template.

    Parameters
    ----------
    where : str
        The distribution or function and, if it has one, its name: ``"MarginalHMM 'obs'"``.
    problem : str
        One sentence that names the argument and the rule it breaks.
    got, expected : object, optional
        What was found and what would have been right.
    suggestion : str, optional
        Code or words that repair it.

    Returns
    -------
    str
        The message, one fact a line.

    Examples
    --------
    >>> print(compose_message("MarginalHMM 'w'", "T must be positive.", got="T = 0"))
    MarginalHMM 'w': T must be positive.
      got       T = 0
    """
    lines = [f"{where}: {problem}"]
    for label, content in (("got", got), ("expected", expected), ("try", suggestion)):
        if content is not None:
            lines.append(f"  {label:<8}  {content}")
    return "\n".join(lines)
