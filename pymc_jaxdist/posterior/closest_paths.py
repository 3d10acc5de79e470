"""Possible paths of the hidden states that are as close as can be to a guess of them."""

import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.kernels import viterbi
from pymc_jaxdist.kernels.hidden_markov_log_likelihood import of_histories
from pymc_jaxdist.kernels.hidden_semi_markov_log_likelihood import HiddenSemiMarkovLogLikelihood
from pymc_jaxdist.ops.precision import double_precision
from pymc_jaxdist.posterior.blocks_of_draws import SEMI_MARKOV
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior
from pymc_jaxdist.posterior.histories import paths_of_states

__all__ = ["closest_paths"]

#: Log-odds against leaving the guess at one time: more than any plausible transition costs.
DISAGREEMENT = 1000.0


def closest_paths(found: HiddenMarkovPosterior, guess: np.ndarray) -> np.ndarray:
    """Find the path that departs least from a guess, among those that are possible.

    A guess may stay in a state longer than a `MarginalHSMM` with a ``max_duration`` can, make a
    transition of probability zero, or begin in a state of initial probability zero. Whether the
    states can emit the observations is not asked.

    Parameters
    ----------
    found : HiddenMarkovPosterior
        With one draw of the parameters.
    guess : (..., T) array of int
        States; -1 where nothing is guessed.

    Returns
    -------
    (..., T) array of int
        States; -1 where a sequence has ended, and everywhere in one without a possible path.
    """
    states = np.arange(found.n_remembered_states)
    agreement = (guess[..., None] == states) | (guess[..., None] < 0)
    evidence = np.where(agreement, 0.0, -DISAGREEMENT)
    if "allowed_states" in found.parameters:
        evidence = np.where(found.parameters["allowed_states"][0], evidence, -np.inf)
    is_semi_markov = isinstance(found.kernel, HiddenSemiMarkovLogLikelihood)
    with double_precision():
        parameters = [jnp.asarray(draws[0]) for draws in found.parameters.values()]
        _, *chain = found.kernel.terms(jnp.asarray(found.value), *parameters)
        of_chain = of_histories(jnp.asarray(evidence), found.n_states)
        most_probable = SEMI_MARKOV[viterbi] if is_semi_markov else viterbi
        path = np.asarray(most_probable(of_chain, *chain).path)
    return paths_of_states(found, path)
