"""`hmm_logp`: the marginal likelihood by itself, for emissions no distribution describes."""

from typing import Any

import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import as_probabilities
from pymc_jaxdist.distributions.hidden_markov_checks import check_agreement, check_log_likelihoods
from pymc_jaxdist.distributions.observation_checks import check_lengths
from pymc_jaxdist.distributions.probability_checks import (
    check_initial_probs,
    check_transition_matrix,
)
from pymc_jaxdist.kernels.hidden_markov_log_likelihood import MarginalLogLikelihood
from pymc_jaxdist.ops import log_density

__all__ = ["hmm_logp"]


def hmm_logp(
    log_likelihoods: Any, initial_probs: Any, transition_matrix: Any, *, lengths: Any = None
) -> TensorVariable:
    r"""Log-likelihood of sequences with hidden states summed out, from emission terms.

    .. math::

        \ell = \log \sum_{z_1, \dots, z_T} \delta_{z_1} e^{b_1(z_1)}
               \prod_{t=2}^{T} \Gamma_{z_{t-1} z_t} e^{b_t(z_t)}

    Parameters
    ----------
    log_likelihoods : tensor_like ``(..., T, K)``
        Emission log-densities :math:`b_t(k)`: the log-density of observation ``t`` under state
        ``k``. 0 for a missing observation; ``-inf`` for an impossible one.
    initial_probs : tensor_like ``(..., K)``
        Distribution of the first state.
    transition_matrix : tensor_like, broadcasts against ``(..., T-1, K, K)``
        From row to column. Neither it nor ``initial_probs`` needs to sum to one, so that death
        rates and the like can be part of it.
    lengths : tensor_like of int, broadcasts against ``(...)``, optional
        Lengths of ragged sequences.

    Returns
    -------
    TensorVariable ``(...)``
        One log-likelihood per sequence, with exact gradients; ``-inf`` where impossible.

    Raises
    ------
    ShapeError, ParameterError
        If shapes do not fit, or known values are negative or not finite.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., eq. 2.12. CRC Press.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc_jaxdist as pmj
    >>> P = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> pmj.hmm_logp(np.log([[0.5, 0.5], [0.1, 0.3]]), [1.0, 0.0], P).eval().round(4)
    np.float64(-2.8134)

    In a model, ``pm.Potential("loglik", pmj.hmm_logp(...).sum())``.
    """
    where = "hmm_logp"
    log_likelihoods = pt.as_tensor_variable(log_likelihoods)
    initial_probs = as_probabilities(where, "initial_probs", initial_probs)
    transition_matrix = as_probabilities(where, "transition_matrix", transition_matrix)
    n_states = check_transition_matrix(where, transition_matrix, None, stochastic=False)
    n_times = check_log_likelihoods(where, log_likelihoods, n_states)
    check_transition_matrix(where, transition_matrix, n_times, stochastic=False)
    check_initial_probs(where, initial_probs, transition_matrix, n_states, stochastic=False)

    check_agreement(
        where,
        {
            "log_likelihoods": log_likelihoods.type.shape[:-2],
            "initial_probs": initial_probs.type.shape[:-1],
            "transition_matrix": transition_matrix.type.shape[:-3],
        },
    )

    # Sequences that only a parameter tells apart are sequences of the result too. Sums of zeros,
    # because an element may not be there to take: T = 1 leaves (0, K, K) transitions.
    if initial_probs.type.ndim > 1:
        log_likelihoods += pt.zeros_like(initial_probs).sum(axis=-1)[..., None, None]
    if transition_matrix.type.ndim > 3:
        log_likelihoods += pt.zeros_like(transition_matrix).sum(axis=(-3, -2, -1))[..., None, None]
    batch_ndim = log_likelihoods.type.ndim - 2
    inputs = [log_likelihoods, initial_probs, transition_matrix]
    if lengths is not None:
        lengths = pt.as_tensor_variable(lengths)
        check_lengths(where, lengths, n_times, log_likelihoods.type.shape[:-2])
        inputs.append(lengths)
    kernel = MarginalLogLikelihood(lengths_given=lengths is not None)
    return log_density(kernel, *inputs, batch_ndim=batch_ndim)
