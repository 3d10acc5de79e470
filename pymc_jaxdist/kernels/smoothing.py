"""Posterior probabilities of the hidden states."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.extended import extended_forward
from pymc_jaxdist.kernels.forward_backward import expected_counts, forward_rule
from pymc_jaxdist.kernels.lazy import run_if_any
from pymc_jaxdist.kernels.orientation import SequencesLast, orientation
from pymc_jaxdist.kernels.posterior import invalid
from pymc_jaxdist.kernels.scaled import scaled_forward
from pymc_jaxdist.kernels.underflow import may_have_lost_mass

__all__ = ["filtered_probs", "smoothed_probs"]


def smoothed_probs(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    r"""Probabilities of the states given the whole sequence.

    .. math::

        \gamma_t(k) = p(z_t = k | y_0 \ldots y_{T-1})
        = \frac{\partial \log L}{\partial \ell_t(k)}

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, lengths
        As for `marginal_log_likelihood`.

    Returns
    -------
    Array, shape (..., T, K)
        Rows sum to one. NaN on padding, and everywhere in an impossible sequence.

    References
    ----------
    Rabiner, L. R. (1989). A tutorial on hidden Markov models and selected applications in
    speech recognition. Proceedings of the IEEE 77, 257-286.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> log_likelihoods = jnp.log(jnp.array([[0.5, 0.1], [0.2, 0.4], [0.3, 0.3]]))
    >>> transition_matrix = jnp.array([[0.9, 0.1], [0.2, 0.8]])
    >>> probs = smoothed_probs(log_likelihoods, jnp.ones(2) / 2, transition_matrix)
    >>> print(np.asarray(probs).round(3))
    [[0.753 0.247]
     [0.644 0.356]
     [0.651 0.349]]
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    log_lik, residuals = forward_rule(*chain)
    probs = expected_counts(residuals, jnp.ones_like(log_lik)).log_likelihoods
    probs = probs / jnp.sum(probs, axis=-1, keepdims=True)
    return probs.reshape(*batch_shape, *probs.shape[1:])


def filtered_probs(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    r"""Probabilities of the states given the observations so far.

    .. math::

        p(z_t = k | y_0 \ldots y_t) \propto e^{\ell_t(k)} \sum_i
        p(z_{t-1} = i | y_0 \ldots y_{t-1}) P_{ik}

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, lengths
        As for `marginal_log_likelihood`.

    Returns
    -------
    Array, shape (..., T, K)
        Rows sum to one. NaN on padding, from the first impossible observation on, and
        everywhere in a sequence with invalid arguments.

    References
    ----------
    Zucchini, W., MacDonald, I. L. and Langrock, R. (2016). Hidden Markov Models for Time
    Series: An Introduction Using R, 2nd edition. CRC Press.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> log_likelihoods = jnp.log(jnp.array([[0.5, 0.1], [0.2, 0.4], [0.3, 0.3]]))
    >>> transition_matrix = jnp.array([[0.9, 0.1], [0.2, 0.8]])
    >>> probs = filtered_probs(log_likelihoods, jnp.ones(2) / 2, transition_matrix)
    >>> print(np.asarray(probs).round(3))
    [[0.833 0.167]
     [0.644 0.356]
     [0.651 0.349]]
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    flagged = may_have_lost_mass(chain)

    def recompute(scaled: jax.Array) -> jax.Array:
        exact = SequencesLast().user(extended_forward(chain)[0].value())
        return jnp.where(flagged[:, None, None], exact, scaled)

    scaled = orientation(chain).user(scaled_forward(chain).filtered)
    probs = run_if_any(flagged, recompute, scaled)
    known = ~invalid(chain)[:, None]
    if chain.active is not None:
        known &= chain.active
    probs = jnp.where(known[..., None], probs / jnp.sum(probs, axis=-1, keepdims=True), jnp.nan)
    return probs.reshape(*batch_shape, *probs.shape[1:])
