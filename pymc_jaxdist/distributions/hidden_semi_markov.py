"""`MarginalHSMM`: a hidden semi-Markov model, its states and their durations summed out."""

from dataclasses import fields
from typing import Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.emission import EmissionDistribution
from pymc_jaxdist.distributions.hidden_markov_arguments import prepare
from pymc_jaxdist.distributions.hidden_semi_markov_model import HiddenSemiMarkovModel
from pymc_jaxdist.distributions.memory import refuse_what_does_not_fit
from pymc_jaxdist.distributions.registration import (
    PreparedModel,
    observed_and_shape,
    register,
    unregistered,
)
from pymc_jaxdist.errors import DistributionError, ParameterError, ShapeError, compose_message

__all__ = ["MarginalHSMM"]

#: Families that count from 1; all others count the times after the first.
COUNT_FROM_ONE = ("geometric", "discrete_uniform")


class MarginalHSMM:
    r"""Hidden semi-Markov model: states last for durations of their own distribution.

    In an ordinary hidden Markov model the duration of a stay is geometric. Here it has any
    distribution: with states entered at times :math:`t_1 = 1 < t_2 < \dots`,

    .. math::

        z_1 \sim \delta, \qquad d_n \sim p_{z_n}, \qquad
        P(z_{n+1} = j \mid z_n = i) = \frac{\Gamma_{ij}}{1 - \Gamma_{ii}} \quad (j \ne i),
        \qquad y_t \mid z_n = k \sim f_k(\theta_k) \quad (t_n \le t < t_n + d_n)

    The first stay begins at the first observation; the last is cut off by the end of the
    sequence, at whatever duration. States and durations are summed out exactly.

    ========  =======================================================
    Support   that of the emission, for each of T observations
    Unit      one log-density per sequence
    ========  =======================================================

    Parameters
    ----------
    name : str
        Name of the variable.
    emission : distribution or tuple of distributions
        As in `MarginalHMM`.
    transition_matrix : tensor_like ``(..., K, K)``
        Probabilities of the state that follows. The diagonal is not read: a row is divided by
        the sum of its other entries. With two states it may be ``[[0, 1], [1, 0]]``. Static.
    durations : distribution
        An unregistered discrete PyMC distribution with batch shape ``(K,)``, or ``(N, 1, K)`` for
        durations that differ between sequences. Geometric and DiscreteUniform are the duration
        itself; all others (Poisson, NegativeBinomial, Categorical, ...) count the times after
        the first, so that a stay lasts ``1 + value``.
    initial_probs : tensor_like ``(..., K)`` or ``"uniform"``
        Distribution of the first state.
    max_duration : int, optional
        Truncates durations: none is longer. The cost of an evaluation is proportional to it, and
        to T without it.
    lengths, allowed_states, observed, dims, shape, steps, **kwargs
        As in `MarginalHMM`.

    Returns
    -------
    TensorVariable
        The random variable, registered in the model.

    Raises
    ------
    ShapeError, ParameterError, DataError, DistributionError
        As `MarginalHMM`, and where ``durations`` is no discrete univariate distribution.

    References
    ----------
    .. [1] Guédon, Y. (2003). Estimating hidden semi-Markov chains from discrete sequences.
       Journal of Computational and Graphical Statistics 12(3).
    .. [2] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., chapter 12. CRC Press.

    Examples
    --------
    >>> import numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> counts = np.array([3, 2, 4, 12, 15, 11, 3, 1])
    >>> with pm.Model() as model:
    ...     rates = pm.Gamma("rates", 2, 0.2, shape=2)
    ...     further_times = pm.Gamma("further_times", 2, 0.5, shape=2)
    ...     y = pmj.MarginalHSMM(
    ...         "y",
    ...         emission=pm.Poisson.dist(rates),
    ...         transition_matrix=[[0, 1], [1, 0]],
    ...         durations=pm.Poisson.dist(further_times),
    ...         observed=counts,
    ...     )
    >>> round(float(model.point_logps()["y"]))
    -35
    """

    def __new__(
        cls,
        name: str,
        emission: Any,
        transition_matrix: Any,
        durations: Any,
        initial_probs: Any = "uniform",
        *,
        max_duration: int | None = None,
        lengths: Any = None,
        allowed_states: Any = None,
        observed: Any = None,
        dims: Any = None,
        shape: Any = None,
        steps: int | None = None,
        **kwargs: Any,
    ) -> TensorVariable:
        where = f"{cls.__name__} '{name}'"
        observed, shape = observed_and_shape(where, observed, dims, shape)
        prepared = _prepare(
            where,
            durations,
            max_duration,
            emission,
            transition_matrix,
            initial_probs,
            lengths=lengths,
            allowed_states=allowed_states,
            observed=observed,
            shape=shape,
            steps=steps,
        )
        return register(cls.__name__, name, prepared, observed, dims, kwargs)

    @classmethod
    def dist(
        cls,
        emission: Any,
        transition_matrix: Any,
        durations: Any,
        initial_probs: Any = "uniform",
        *,
        max_duration: int | None = None,
        lengths: Any = None,
        allowed_states: Any = None,
        shape: Any = None,
        steps: int | None = None,
        **kwargs: Any,
    ) -> TensorVariable:
        """Create the distribution without registering it, for ``pm.draw`` and ``pm.logp``.

        Parameters
        ----------
        emission, transition_matrix, durations, initial_probs, max_duration, lengths
            As in `MarginalHSMM`.
        allowed_states, shape, steps, **kwargs
            As in `MarginalHSMM`.

        Returns
        -------
        TensorVariable
            The unregistered random variable.

        Examples
        --------
        >>> import numpy as np, pymc as pm
        >>> import pymc_jaxdist as pmj
        >>> hsmm = pmj.MarginalHSMM.dist(
        ...     emission=pm.Normal.dist([0.0, 5.0], 1.0),
        ...     transition_matrix=1 - np.eye(2),
        ...     durations=pm.Poisson.dist([2.0, 4.0]),
        ...     steps=20,
        ... )
        >>> pm.draw(hsmm).shape
        (20,)
        """
        prepared = _prepare(
            f"{cls.__name__}.dist",
            durations,
            max_duration,
            emission,
            transition_matrix,
            initial_probs,
            lengths=lengths,
            allowed_states=allowed_states,
            observed=None,
            shape=shape,
            steps=steps,
        )
        return unregistered(cls.__name__, prepared, kwargs)


def _prepare(
    where: str, durations: Any, max_duration: int | None, *arguments: Any, **keywords: Any
) -> PreparedModel[HiddenSemiMarkovModel]:
    """Prepare a hidden Markov model, and add the durations."""
    if isinstance(arguments[2], str) and arguments[2] == "stationary":
        raise ParameterError(
            compose_message(
                where,
                "the first state of a semi-Markov model has no stationary distribution here.",
                got='initial_probs="stationary"',
                suggestion='initial_probs="uniform", or pm.Dirichlet("p0", a=np.ones(K))',
            )
        )
    markov, parameters, shape = prepare(where, *arguments, **keywords)
    if markov.memory > 1:
        raise ParameterError(
            compose_message(
                where,
                "a semi-Markov chain does not remember states.",
                got="an AutoRegressive emission with a mean that differs between states",
                suggestion="an AutoRegressive emission without mean=, or MarginalHMM",
            )
        )
    transition_matrix = parameters[0]
    if transition_matrix.type.ndim > 2 and transition_matrix.type.shape[-3] != 1:
        raise ShapeError(
            compose_message(
                where,
                "the transition_matrix of a semi-Markov model must not vary in time.",
                got=f"{transition_matrix.type.ndim} dimensions",
                expected="(K, K), or (N, 1, K, K) if it differs between sequences",
            )
        )
    duration, own = EmissionDistribution.cut(durations, where, argument="durations")
    if duration.event_ndim or not duration.discrete:
        raise DistributionError(
            compose_message(
                where,
                "durations must be a discrete univariate distribution.",
                got=str(duration),
                suggestion="pm.Poisson.dist(further_times)",
            )
        )
    n_states = transition_matrix.type.shape[-1]
    if duration.batch_shape[-1:] not in ((), (None,), (1,), (n_states,)) and n_states is not None:
        raise ShapeError(
            compose_message(
                where,
                "the last batch dimension of durations must be the states.",
                got=f"batch shape {duration.batch_shape}",
                expected=f"{n_states} or 1 on axis -1",
            )
        )
    if max_duration is not None and max_duration < 1:
        raise ParameterError(
            compose_message(where, "max_duration must be at least 1.", got=repr(max_duration))
        )
    model = HiddenSemiMarkovModel(
        **{field.name: getattr(markov, field.name) for field in fields(markov)},
        duration=duration,
        shortest=1 if duration.family in COUNT_FROM_ONE else 0,
        max_duration=max_duration,
    )
    longest = markov.n_times if max_duration is None else max_duration
    lengths = [_static(n) for n in (shape or ())[: markov.ndim - markov.event_ndim]]
    refuse_what_does_not_fit(
        where,
        {"stays (..., T, K, D) of every length up to D": (*lengths, n_states, longest)},
        "max_duration=, which limits D, or shorter sequences",
    )
    at = len(parameters) - (markov.n_times is None)
    return PreparedModel(model, [*parameters[:at], *own, *parameters[at:]], shape)


def _static(length: Any) -> int | None:
    """Return a length if it is known while the model is built."""
    return int(length) if isinstance(length, int | np.integer) else None
