"""The data of the model in conftest, and its evidence for one draw."""

import numpy as np
from scipy import stats

from tests.reference import hidden_markov as reference

Y = np.array([[0.1, 2.9, np.nan, 3.2], [3.1, 0.2, 0.1, 0.0]])
LENGTHS = [4, 3]
STATES = ["low", "high"]
DRAWS = [(0, 0), (1, 4)]


def parameters_of(idata, chain, draw):
    """Return mu, the initial probabilities and the transition matrix of one draw."""
    mu, matrix = (idata["posterior"][name].values[chain, draw] for name in ("mu", "P"))
    return mu, reference.stationary_distribution(matrix), matrix


def evidence(y, mu):
    """Return log-densities (T, K); 0 where an observation is missing."""
    return np.where(np.isnan(y)[:, None], 0, stats.norm.logpdf(y[:, None], mu, 1.0))


def sequences(idata, chain, draw):
    """Yield the site, its length and (ll, start, matrix) for one draw."""
    mu, start, matrix = parameters_of(idata, chain, draw)
    for site, length in enumerate(LENGTHS):
        yield site, length, (evidence(Y[site, :length], mu), start, matrix)
