"""What is known of hidden states, by listing every path they may have taken.

Everything here is a sum over paths `z` of `p(z, y)`. A chain is a function from evidence (T, K) to
`(paths (P, T), log joint densities (P,))`: `markov_chain` of a transition matrix, and
`semi_markov_chain` of durations. Evidence 0 at a time says that nothing was observed there.
"""

import itertools

import numpy as np

from tests.reference.hidden_markov import logsumexp
from tests.reference.hidden_semi_markov import segmentations
from tests.reference.remembered_states import order_two_paths


def markov_chain(start, matrix):
    """Every path with `log delta + sum log P + sum log f`; matrix (K, K) or (T-1, K, K)."""

    def paths_of(ll):
        steps, states = ll.shape
        paths = np.array(list(itertools.product(range(states), repeat=steps)))
        each = (
            np.broadcast_to(matrix, (steps - 1, states, states))
            if np.ndim(matrix) == 2
            else (matrix[: steps - 1])
        )
        with np.errstate(divide="ignore"):
            log_joint = np.log(start)[paths[:, 0]] + ll[range(steps), paths].sum(axis=1)
            for t in range(1, steps):
                log_joint = log_joint + np.log(each[t - 1])[paths[:, t - 1], paths[:, t]]
        return paths, log_joint

    return paths_of


def semi_markov_chain(start, matrix, probs, survival):
    """Every way to cut the sequence into stays, the last of which may outlast it."""

    def paths_of(ll):
        with np.errstate(divide="ignore"):
            paths, log_joint = zip(*segmentations(ll, start, matrix, probs, survival), strict=True)
        return np.array(paths), np.array(log_joint)

    return paths_of


def order_two_chain(start, tensor):
    """Every path of a chain of order 2; `start[h, i]`, `tensor[h, i, j]` as in `order_two_paths`.

    Summed over the state before the first observation.
    """

    def paths_of(ll):
        paths, log_joint = zip(*order_two_paths(ll, start, tensor), strict=True)
        return np.array(paths), np.array(log_joint)

    return paths_of


def log_total(chain, ll):
    """log p(y); 0 without observations."""
    return float(logsumexp(chain(ll)[1])) if len(ll) else 0.0


def path_probs(chain, ll):
    """Every path with its probability given the observations; NaN if none is possible."""
    paths, log_joint = chain(ll)
    total = logsumexp(log_joint)
    with np.errstate(invalid="ignore"):
        return paths, np.exp(log_joint - total)


def state_probs(chain, ll):
    """p(z_t = k | y), (T, K)."""
    paths, probs = path_probs(chain, ll)
    return np.stack([probs @ (paths == k) for k in range(ll.shape[1])], axis=-1)


def pair_probs(chain, ll):
    """p(z_{t-1} = i, z_t = j | y), (T-1, K, K)."""
    paths, probs = path_probs(chain, ll)
    steps, states = ll.shape
    pairs = np.full((steps - 1, states, states), np.nan if np.isnan(probs).any() else 0.0)
    for path, own in zip(paths, probs, strict=True):
        pairs[range(steps - 1), path[:-1], path[1:]] += own
    return pairs


def expected_stays(chain, ll):
    """Expected number of stays in each state, (K,): how often it is entered, or begun with."""
    paths, probs = path_probs(chain, ll)
    entered = np.ones(paths.shape, dtype=bool)
    entered[:, 1:] = paths[:, 1:] != paths[:, :-1]
    return np.array([probs @ (entered & (paths == k)).sum(axis=1) for k in range(ll.shape[1])])


def filtered_probs(chain, ll):
    """p(z_t = k | y_1 ... y_t), (T, K)."""
    return np.array([state_probs(chain, ll[: t + 1])[-1] for t in range(len(ll))])


def predicted_probs(chain, ll):
    """p(z_t = k | y_1 ... y_{t-1}), (T, K)."""
    return np.array([state_probs(chain, continued(ll[:t], 1))[-1] for t in range(len(ll))])


def log_predictive_densities(chain, ll):
    """log p(y_t | y_1 ... y_{t-1}), (T,); NaN after an impossible observation."""
    totals = np.array([log_total(chain, ll[:t]) for t in range(len(ll) + 1)])
    with np.errstate(invalid="ignore"):
        return np.diff(totals)


def continued(ll, steps):
    """Evidence of a sequence that goes on unobserved."""
    return np.concatenate([ll, np.zeros((steps, ll.shape[1]))])


def log_prob_of(chain, ll, path):
    """log p(z, y) of one path; -inf if it is not among them."""
    paths, log_joint = chain(ll)
    found = (paths == path).all(axis=1)
    return float(log_joint[found][0]) if found.any() else -np.inf


def probs_of_patterns(paths, probs, below):
    """Joint probability of every pattern of values below and above thresholds.

    Given a path, values are independent: `below[m, k]` is the probability that the m-th value is
    not above its threshold if the state at its time is k, and `paths[:, m]` that state. The
    result has one entry for each of the 2**M patterns, the first value being the highest bit.
    """
    n_values = paths.shape[1]
    result = np.zeros(2**n_values)
    for path, own in zip(paths, probs, strict=True):
        of_path = np.ones(1)
        for m in range(n_values):
            p = below[m, path[m]]
            of_path = np.concatenate([of_path[:, None] * (1 - p), of_path[:, None] * p], 1).ravel()
        result += own * of_path
    return result
