"""`ODEObserved`: observations of the solution of a differential equation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import known_value
from pymc_jaxdist.distributions.memory import refuse_what_does_not_fit
from pymc_jaxdist.distributions.ode_arguments import (
    PreparedEquation,
    cut_likelihood,
    prepare_equation,
    shape_of,
)
from pymc_jaxdist.distributions.ode_likelihood import CutLikelihood
from pymc_jaxdist.distributions.ode_model import ODEModel, solution_graph
from pymc_jaxdist.distributions.ode_observation_checks import (
    check_observed,
    check_observed_at_times,
    check_present_as_a_whole,
    check_shape_of_observed,
)
from pymc_jaxdist.distributions.ode_tolerances import default_atol
from pymc_jaxdist.distributions.registration import (
    PreparedModel,
    observed_and_shape,
    register,
    unregistered,
)
from pymc_jaxdist.errors import JaxDistError, ParameterError, ShapeError, compose_message

__all__ = ["ODEObserved", "ode_solution"]


class ODEObserved:
    r"""Observations of the solution of an ordinary differential equation.

    .. math::

        \frac{dx}{dt} = f(t, x, p), \quad x(t_0) = y_0, \qquad
        y_t \sim \mathrm{likelihood}(x(t))

    The equation is solved, and the log-density and its gradient computed, in one call of a
    compiled JAX kernel. The gradient is that of the steps the integrator took (never of a
    continuous adjoint), so that it always fits the log-density. A solve that fails (a solution
    that blows up, too many steps) has log-density ``-inf`` for its subject, and sampling goes on.

    ========  ==================================================================
    Support   that of the likelihood, for each observation
    Unit      one log-density per observation (``compute_log_likelihood``, LOO)
    ========  ==================================================================

    Parameters
    ----------
    name : str
        Name of the variable.
    vector_field : callable
        ``f(t, y, params)`` in `jax.numpy`, for one subject: returns ``dy/dt`` of shape ``(n,)``,
        or a dictionary if ``y0`` is one.
    params : pytree of tensor_like
        What ``f`` gets as ``params``: a dictionary, tuple, ... of variables and numbers. Leading
        dimensions equal to those of the subjects mean one value per subject; ``f`` sees the value
        of its subject.
    y0 : tensor_like ``(..., n)``, or dict of name to ``(...)``
        State at ``t0``. A dictionary gives the states names. A list has one part for each state;
        a list of lists one for each subject.
    times : tensor_like ``(T,)`` or ``(..., T)``
        Times of observation, in any order, with repetitions, none before ``t0``. NaN pads the
        times of a subject that has fewer; what has no time was not observed.
    t0 : tensor_like ``()`` or ``(...)``
        Where the solution begins; may be a variable of the model.
    likelihood : callable
        ``likelihood(y)`` returns an unregistered PyMC distribution, ``pm.Normal.dist(y, sigma)``,
        of the solution ``y`` with shape ``(..., T, n)``, a PyTensor tensor (a dictionary of
        tensors ``(..., T)`` if ``y0`` is one). A tuple of distributions observes several
        channels, the last dimension of the data.
    observe : int, str, sequence of them, or callable, optional
        What of the states reaches the likelihood: ``y`` is then ``(..., T)`` for one state,
        ``(..., T, D)`` for several. A callable ``g(t, y, params)`` in `jax.numpy`, for one
        subject at one time, returns a number, an array, or a dictionary of numbers, which reach
        the likelihood by their names. Default: all states.
    rtol, atol : float
        Tolerances of the local error; ``atol`` may have one value for each state. By default it
        is 1e-12. If the likelihood takes a logarithm of the solution, as that of positive or
        counted observations does, small states must be accurate relative to themselves: then it
        is 1e-100 for those whose logarithm is taken, and 1e-30 for others that can only be
        positive. Raise it for speed where they need not be.
    max_steps : int
        Steps after which a solve fails.
    solver : str, RK4 or diffrax solver
        ``"auto"`` tries the explicit ``"tsit5"`` and, for subjects where that is limited by
        stability (or would plainly be, from the start), the stiff ``"rodas5p"``.
        ``RK4(step_size=h)`` takes fixed steps. Any solver of diffrax, ``diffrax.Kvaerno5()``,
        needs the extra ``ode``.
    sensitivity : {"auto", "forward", "reverse"}
        Whether derivatives accompany the solution (best for few parameters) or are pulled back
        through the recorded steps (many). Both are those of the steps taken. Derivatives by times
        (an unknown ``t0``) only accompany it.
    events : Doses, Jumps or sequence of them, optional
        What happens to the states at known times.
    observed : array_like, optional
        Data ``(..., T)`` or ``(..., T, D)``. NaN and masked entries are missing.
    dims : str or tuple of str, optional
        Dimension names.
    shape : tuple, optional
        Shape of the variable, when nothing else tells the subjects.
    **kwargs
        Passed to PyMC.

    Returns
    -------
    TensorVariable
        The random variable, registered in the model.

    Raises
    ------
    ShapeError, ParameterError, DataError, DistributionError
        Where something is known to be wrong when the model is built.

    References
    ----------
    .. [1] Hairer, E., Nørsett, S. P., & Wanner, G. (1993). Solving Ordinary Differential
       Equations I, 2nd ed., section II.4-II.6. Springer.

    Examples
    --------
    Exponential decay:

    >>> import numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> def decay(t, y, p):
    ...     return -p["rate"] * y
    >>> with pm.Model() as model:
    ...     rate = pm.HalfNormal("rate")
    ...     y = pmj.ODEObserved(
    ...         "y",
    ...         decay,
    ...         params={"rate": rate},
    ...         y0=[1.0],
    ...         times=[1.0, 2.0, 3.0],
    ...         likelihood=lambda y: pm.Normal.dist(y[..., 0], 0.1),
    ...         observed=[0.36, 0.14, 0.05],
    ...     )
    >>> logp = model.compile_logp(vars=[y])
    >>> round(float(logp({"rate_log__": np.log(1.0)})), 4)
    4.1467
    """

    def __new__(
        cls,
        name: str,
        vector_field: Callable[..., Any],
        *,
        params: Any,
        y0: Any,
        times: Any,
        t0: Any = 0.0,
        likelihood: Callable[..., Any],
        observe: Any = None,
        rtol: float = 1e-6,
        atol: Any = None,
        max_steps: int = 2000,
        solver: Any = "auto",
        sensitivity: str = "auto",
        events: Any = None,
        observed: Any = None,
        dims: Any = None,
        shape: Any = None,
        **kwargs: Any,
    ) -> TensorVariable:
        where = f"{cls.__name__} '{name}'"
        observed, shape = observed_and_shape(where, observed, dims, shape)
        prepared = _prepare(
            where,
            vector_field,
            likelihood,
            observed,
            shape,
            params=params,
            y0=y0,
            times=times,
            t0=t0,
            observe=observe,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            solver=solver,
            sensitivity=sensitivity,
            events=events,
        )
        return register(cls.__name__, name, prepared, observed, dims, kwargs)

    @classmethod
    def dist(
        cls,
        vector_field: Callable[..., Any],
        *,
        params: Any,
        y0: Any,
        times: Any,
        t0: Any = 0.0,
        likelihood: Callable[..., Any],
        observe: Any = None,
        rtol: float = 1e-6,
        atol: Any = None,
        max_steps: int = 2000,
        solver: Any = "auto",
        sensitivity: str = "auto",
        events: Any = None,
        shape: Any = None,
        **kwargs: Any,
    ) -> TensorVariable:
        """Create the distribution without registering it, for ``pm.draw`` and ``pm.logp``.

        Parameters
        ----------
        vector_field, params, y0, times, t0, likelihood, observe, rtol, atol, max_steps, shape
            As in `ODEObserved`.
        solver, sensitivity, events
            As in `ODEObserved`.
        **kwargs
            Passed to PyMC.

        Returns
        -------
        TensorVariable
            The unregistered random variable.
        """
        prepared = _prepare(
            f"{cls.__name__}.dist",
            vector_field,
            likelihood,
            None,
            shape,
            params=params,
            y0=y0,
            times=times,
            t0=t0,
            observe=observe,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            solver=solver,
            sensitivity=sensitivity,
            events=events,
        )
        return unregistered(cls.__name__, prepared, kwargs)


def ode_solution(
    vector_field: Callable[..., Any],
    *,
    params: Any,
    y0: Any,
    times: Any,
    t0: Any = 0.0,
    observe: Any = None,
    rtol: float = 1e-6,
    atol: Any = None,
    max_steps: int = 2000,
    solver: Any = "auto",
    sensitivity: str = "auto",
    events: Any = None,
) -> Any:
    """Return the solution of a differential equation as a variable with exact gradients.

    Parameters
    ----------
    vector_field, params, y0, times, t0, observe, rtol, atol, max_steps
        As in `ODEObserved`.
    solver, sensitivity, events
        As in `ODEObserved`.

    Returns
    -------
    TensorVariable ``(..., T, n)``, or dict of name to TensorVariable ``(..., T)``
        A dictionary if ``y0`` is one. Not finite where the equation could not be solved.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> import pymc_jaxdist as pmj
    >>> rate = pt.dscalar("rate")
    >>> y = pmj.ode_solution(lambda t, y, rate: -rate * y, params=rate, y0=[1.0], times=[0.0, 1.0])
    >>> y.eval({rate: 1.0}).round(4)
    array([[1.    ],
           [0.3679]])
    """
    prepared = prepare_equation(
        "ode_solution",
        vector_field,
        params=params,
        y0=y0,
        times=times,
        t0=t0,
        observe=observe,
        rtol=rtol,
        atol=atol,
        max_steps=max_steps,
        solver=solver,
        sensitivity=sensitivity,
        events=events,
    )
    seen = solution_graph(prepared.equation, prepared.arguments, prepared.seen_shape)
    if prepared.seen_names is None:
        return seen
    return {name: seen[..., i] for i, name in enumerate(prepared.seen_names)}


def _prepare(
    where: str,
    vector_field: Callable[..., Any],
    likelihood: Callable[..., Any],
    observed: TensorVariable | None,
    shape: Any,
    **arguments: Any,
) -> PreparedModel[ODEModel]:
    """Check the arguments of `ODEObserved` and put them in order."""
    data = None if observed is None else known_value(observed)
    told = data.shape if data is not None else None
    if told is None and shape is not None:
        lengths = shape if isinstance(shape, tuple | list) else (shape,)
        told = tuple(int(n) if isinstance(n, int | np.integer) else _static(n) for n in lengths)
    prepared, cut = _with_subjects(where, vector_field, likelihood, told, arguments)
    n_batch = len(prepared.batch_shape)
    several = len(cut.likelihood.emissions) if cut.likelihood.several else 0
    times = prepared.arguments[2]
    if data is not None:
        check_observed(where, data, shape_of(times)[-1], n_batch, several)
        check_shape_of_observed(
            where,
            data.shape,
            (*prepared.batch_shape, shape_of(times)[-1], *_trailing(cut, n_batch)),
            n_batch,
        )
        check_observed_at_times(where, data, known_value(times), n_batch)
        check_present_as_a_whole(where, data, cut.likelihood.event_ndim)
    n_times, n_states = shape_of(times)[-1], shape_of(prepared.arguments[0])[-1]
    subjects = prepared.batch_shape
    arrays = {
        "the solution (..., T, n)": (*subjects, n_times, n_states),
        "its derivatives": (*subjects, n_times, n_states),
    }
    if arguments["sensitivity"] == "reverse":
        max_steps = prepared.equation.max_steps
        arrays["recorded steps (..., max_steps, n)"] = (*subjects, max_steps, n_states)
    refuse_what_does_not_fit(
        where, arrays, "fewer subjects at a time (pm.Minibatch), fewer times, or fewer max_steps"
    )
    if shape is None:
        shape = _implied_shape(where, prepared, cut)
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    equation = prepared.equation
    if arguments["atol"] is None:
        equation = replace(equation, atol=default_atol(prepared, cut.likelihood))
    model = ODEModel(
        equation=equation,
        likelihood=cut.likelihood,
        seen_shape=prepared.seen_shape,
        may_be_missing=not isinstance(observed, Constant) or bool(np.isnan(observed.data).any()),
        dtype=_dtype(cut, observed),
        ndim=len(shape),
    )
    return PreparedModel(model, [*prepared.arguments, *cut.parameters], shape)


def _with_subjects(
    where: str,
    vector_field: Callable[..., Any],
    likelihood: Callable[..., Any],
    told: tuple[int | None, ...] | None,
    arguments: dict[str, Any],
) -> tuple[PreparedEquation, CutLikelihood]:
    """Prepare an equation whose subjects may show in nothing but the shape of the data.

    Then parameters with a value per subject only fit the vector field once there are subjects.
    """

    def attempt(batch_shape: tuple[int | None, ...] | None) -> tuple[Any, ...]:
        prepared = prepare_equation(where, vector_field, batch_shape=batch_shape, **arguments)
        return prepared, cut_likelihood(where, likelihood, prepared)

    try:
        prepared, cut = attempt(None)
    except (ParameterError, ShapeError):
        for n_batch in range(1, len(told or ())):
            try:
                prepared, cut = attempt((told or ())[:n_batch])
            except JaxDistError:
                continue
            if _n_dims(cut) == len(told or ()):
                return prepared, cut
        raise
    extra = 0 if told is None or prepared.batch_shape else len(told) - _n_dims(cut)
    return attempt((told or ())[:extra]) if extra > 0 else (prepared, cut)


def _static(length: Any) -> int | None:
    value = known_value(pt.as_tensor_variable(length))
    return None if value is None else int(value)


def _n_dims(cut: CutLikelihood) -> int:
    """Return the number of dimensions of the observations that the likelihood implies."""
    dims = max(len(e.batch_shape) + e.event_ndim for e in cut.likelihood.emissions)
    return dims + cut.likelihood.several


def _trailing(cut: CutLikelihood, n_batch: int) -> tuple[Any, ...]:
    """Return the lengths of an observation at one time, None for those that are not known."""
    if cut.likelihood.several:
        return (len(cut.likelihood.emissions),)
    first = cut.likelihood.emissions[0]
    return (*first.batch_shape, *first.event_shape)[n_batch + 1 :]


def _implied_shape(where: str, prepared: PreparedEquation, cut: CutLikelihood) -> tuple[Any, ...]:
    n_batch = len(prepared.batch_shape)
    n_times = prepared.arguments[2].shape[-1]
    trailing = _trailing(cut, n_batch)
    if None in prepared.batch_shape or None in trailing:
        raise ShapeError(
            compose_message(
                where, "the shape of the observations is not known.",
                suggestion="shape=(...), dims=... or observed=...",
            )
        )  # fmt: skip
    return (*prepared.batch_shape, n_times, *trailing)


def _dtype(cut: CutLikelihood, observed: TensorVariable | None) -> str:
    """Return the type of draws: integers only if every channel is and no NaN need be held."""
    if not cut.likelihood.discrete:
        return "float64"
    if observed is None or not observed.type.dtype.startswith("float"):
        return "int64"
    whole = isinstance(observed, Constant) and not np.isnan(observed.data).any()
    return "int64" if whole else "float64"
