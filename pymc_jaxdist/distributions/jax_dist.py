"""`JaxDist`: a distribution whose log-density is a JAX function of one unit."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions import jax_dist_checks as checks
from pymc_jaxdist.distributions.arguments import known_shape, known_value
from pymc_jaxdist.distributions.jax_dist_model import JaxDistModel
from pymc_jaxdist.distributions.registration import (
    PreparedModel,
    observed_and_shape,
    register,
    unregistered,
)
from pymc_jaxdist.distributions.unit_signature import UnitSignature
from pymc_jaxdist.errors import FunctionError, ShapeError, compose_message
from pymc_jaxdist.ops.by_value import ByValue
from pymc_jaxdist.ops.precision import in_double_precision
from pymc_jaxdist.ops.unit_random import random_style

__all__ = ["JaxDist"]


class JaxDist:
    r"""Distribution with a log-density written in JAX for one unit.

    A unit is what the log-density is one number for: a row, a sequence, a subject. `logp` is
    written for a single one, and applied to as many as there are: value and parameters may have
    any leading dimensions, which broadcast.

    .. math::

        \ell_n = \mathrm{logp}(y_n, a_n, b_n, \dots)

    Value and gradient come from one call of a compiled function, in every sampler and backend.

    ========  =======================================================
    Support   what `logp` gives a finite value
    Unit      one log-density per unit, so that LOO works
    ========  =======================================================

    Parameters
    ----------
    name : str
        Name of the variable.
    logp : callable
        ``logp(value, *params)`` in ``jax.numpy``, of arrays with the dimensions in `signature`,
        returns one number. ``-jnp.inf``, or NaN, means impossible.
    *params : tensor_like
        Parameters.
    signature : str, optional
        Names of the dimensions of one unit: those of each parameter, an arrow, those of the
        value. ``"(n),(k)->()"`` means a vector, a vector, and a number. By default all are
        numbers.
    random : callable, optional
        Random draws: ``random(*params, rng, size)`` with NumPy, for all units at once; or
        ``random(key, *params)`` in JAX, for one unit.
    observed : array_like, optional
        Data, with the dimensions of the units first. ``pm.Data`` and ``pm.Minibatch`` are welcome.
    dims : str or tuple of str, optional
        Dimension names.
    shape : int or tuple, optional
        Shape of the variable, when nothing else tells it.
    missing : {"error", "skip", "pass"}
        What NaN in `observed` means: an error; a unit that contributes nothing; or whatever
        `logp` makes of it.
    support_point : array_like or callable, optional
        Where sampling of an unobserved variable starts: numbers, or a function of the parameters
        of one unit in JAX. By default zeros.
    dtype : str, optional
        Of the value: ``"int64"`` for counts. By default that of `observed`, else ``"float64"``.
    **kwargs
        Passed to PyMC: ``total_size``, ``initval``, ``transform``, ...

    Returns
    -------
    TensorVariable
        The random variable, registered in the model.

    Raises
    ------
    FunctionError
        If `logp` does not run in JAX, or returns something else than one number.
    ShapeError, ParameterError, DataError
        If arguments do not fit `signature`, data are missing, or the gradient is NaN where
        sampling starts.

    Examples
    --------
    A power law with one exponent, for events of several groups:

    >>> import jax.numpy as jnp, numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> def power_law(y, alpha):
    ...     return jnp.where(y >= 1, jnp.log(alpha) - (alpha + 1) * jnp.log(y), -jnp.inf)
    >>> with pm.Model() as model:
    ...     alpha = pm.HalfNormal("alpha", 2, shape=2)
    ...     y = pmj.JaxDist("y", power_law, alpha, observed=[[1.5, 3.0], [1.2, 4.0], [2.0, 9.0]])
    >>> pm.logp(y, np.array([[1.0, 2.0]])).eval({alpha: [1.0, 2.0]}).round(3)
    array([[ 0.   , -1.386]])
    """

    def __new__(
        cls,
        name: str,
        logp: Callable[..., Any],
        *params: Any,
        signature: str | None = None,
        random: Callable[..., Any] | None = None,
        observed: Any = None,
        dims: Any = None,
        shape: Any = None,
        missing: str = "error",
        support_point: Any = 0.0,
        dtype: str | None = None,
        **kwargs: Any,
    ) -> TensorVariable:
        where = f"{cls.__name__} '{name}'"
        observed, shape = observed_and_shape(where, observed, dims, shape)
        prepared = _prepare(
            where, logp, params, signature, random, observed, shape, missing, support_point, dtype
        )
        if observed is not None:
            own = prepared.parameters[: len(params)]
            value = pt.cast(observed, prepared.model.dtype)
            checks.check_gradient(where, prepared.model.kernel, value, own)
        return register(cls.__name__, name, prepared, observed, dims, kwargs)

    @classmethod
    def dist(
        cls,
        logp: Callable[..., Any],
        *params: Any,
        signature: str | None = None,
        random: Callable[..., Any] | None = None,
        shape: Any = None,
        missing: str = "error",
        support_point: Any = 0.0,
        dtype: str | None = None,
        **kwargs: Any,
    ) -> TensorVariable:
        """Create the distribution without registering it, for ``pm.draw`` and ``pm.logp``.

        Parameters
        ----------
        logp, *params, signature, random, shape, missing, support_point, dtype
            As in `JaxDist`.
        **kwargs
            Passed to PyMC.

        Returns
        -------
        TensorVariable
            The unregistered random variable.

        Examples
        --------
        >>> import jax, numpy as np, pymc as pm
        >>> import pymc_jaxdist as pmj
        >>> walk = pmj.JaxDist.dist(
        ...     lambda y, s: jax.scipy.stats.norm.logpdf(jax.numpy.diff(y), 0, s).sum(),
        ...     [1.0, 2.0],
        ...     signature="()->(t)",
        ...     random=lambda key, s: s * jax.random.normal(key, 4).cumsum(),
        ...     shape=(2, 4),
        ... )
        >>> pm.draw(walk).shape
        (2, 4)
        >>> pm.logp(walk, np.zeros((2, 4))).eval().round(3)
        array([-2.757, -4.836])
        """
        where = f"{cls.__name__}.dist"
        prepared = _prepare(
            where, logp, params, signature, random, None, shape, missing, support_point, dtype
        )
        return unregistered(cls.__name__, prepared, kwargs)


def _prepare(
    where: str,
    logp: Callable[..., Any],
    params: Sequence[Any],
    signature: str | None,
    random: Callable[..., Any] | None,
    observed: TensorVariable | None,
    shape: Any,
    missing: str,
    start: Any,
    dtype: str | None,
) -> PreparedModel[JaxDistModel]:
    """Check the arguments and put them in order."""
    if not callable(logp):
        raise FunctionError(
            compose_message(
                where,
                "logp must be a function.",
                got=f"{type(logp).__name__}: {logp!r:.60}",
                expected="logp(value, *params) in jax.numpy",
            )
        )
    parameters = [in_double_precision(p) for p in params]
    parsed = UnitSignature.parse(where, signature, len(parameters))
    data = None if observed is None else known_value(observed)
    checks.check_missing(where, data, missing)
    if dtype is None:
        dtype = "float64" if observed is None else str(observed.type.dtype)
        dtype = "float64" if dtype.startswith("float") else dtype
    shape = None if shape is None else tuple(np.atleast_1d(np.asarray(shape, dtype=object)))
    static = None if shape is None else tuple(n if isinstance(n, int) else None for n in shape)
    if data is not None:
        static = data.shape
    labels = [p.name or f"parameter {i + 1}" for i, p in enumerate(parameters)]
    lengths = parsed.lengths(where, labels, [known_shape(p) for p in parameters], static)
    function = ByValue(logp, where)
    dtypes = [dtype, *(p.type.dtype for p in parameters)]
    checks.check_function(where, function, parsed, lengths, dtypes)

    told = {name for names in parsed.parameters for name in names}
    untold = tuple(n for n in parsed.value if n not in told and not n.isdecimal())
    if untold and shape is None:
        raise ShapeError(
            compose_message(
                where,
                f"the length of core dimension '{untold[0]}' is not known.",
                suggestion="shape=..., dims=... or observed=...",
            )
        )
    core_shape = () if shape is None else shape[len(shape) - len(parsed.value) :]
    by_name = dict(zip(parsed.value, core_shape, strict=False))
    model = JaxDistModel(
        where=where,
        log_density=function,
        signature=parsed,
        random=ByValue(random, where),
        random_style=random_style(where, random),
        start=ByValue(start, where),
        missing="skip" if missing == "skip" else "pass",
        dtype=dtype,
        lengths=untold,
    )
    extra = [pt.as_tensor_variable(by_name[name]).astype("int64") for name in untold]
    return PreparedModel(model, [*parameters, *extra], shape)
