"""From histories, the states of a chain that remembers several, back to states."""

import numpy as np

from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior

__all__ = ["pairs_of_states", "paths_of_states", "probs_of_states"]


def probs_of_states(found: HiddenMarkovPosterior, probs: np.ndarray) -> np.ndarray:
    """Sum probabilities ``(..., K**m)`` of histories to those ``(..., K)`` of the present state."""
    if found.memory == 1:
        return probs
    n_states = found.n_remembered_states
    return probs.reshape(*probs.shape[:-1], -1, n_states).sum(axis=-2)


def pairs_of_states(found: HiddenMarkovPosterior, pairs: np.ndarray) -> np.ndarray:
    """Sum probabilities ``(..., K**m, K**m)`` of successive histories to those of states."""
    if found.memory == 1:
        return pairs
    n_states = found.n_remembered_states
    split = pairs.reshape(*pairs.shape[:-2], *(pairs.shape[-1] // n_states, n_states) * 2)
    return split.sum(axis=(-4, -2))


def paths_of_states(found: HiddenMarkovPosterior, paths: np.ndarray) -> np.ndarray:
    """Return the present states of paths of histories; -1 stays."""
    if found.memory == 1:
        return paths
    return np.where(paths < 0, paths, paths % found.n_remembered_states)
