"""Hidden semi-Markov models in NumPy, by the recursion over segments and by enumeration."""

import numpy as np


def segments_log_likelihood(ll, start, matrix, probs, survival):
    """Log-likelihood of one sequence: the sum over where the last segment begins.

    `probs[k, d - 1]` is the probability of a stay of d times, `survival[k, d - 1]` that of at
    least d; `matrix` has no diagonal.
    """
    steps, states = ll.shape
    density = np.exp(np.asarray(ll, dtype=np.longdouble))
    # entered[t, k]: a stay in k begins at t, with all data before t.
    entered = np.zeros((steps, states), dtype=np.longdouble)
    entered[0] = start
    total = np.longdouble(0)
    for t in range(steps):
        for k in range(states):
            weight = entered[t, k]
            for d in range(1, steps - t + 1):
                weight = weight * density[t + d - 1, k]
                if t + d == steps:
                    total += weight * (survival[k, d - 1] if d <= survival.shape[1] else 0)
                elif d <= probs.shape[1]:
                    entered[t + d] += weight * probs[k, d - 1] * matrix[k]
    with np.errstate(divide="ignore"):
        return float(np.log(total))


def enumerate_segmentations(ll, start, matrix, probs, survival):
    """The same sum over every way to cut the sequence into stays."""
    steps, states = ll.shape

    def from_here(t, k):
        total = 0.0
        for d in range(1, steps - t + 1):
            own = np.exp(ll[t : t + d, k].sum())
            if t + d == steps:
                total += own * survival[k, d - 1]
            else:
                onward = sum(matrix[k, j] * from_here(t + d, j) for j in range(states) if j != k)
                total += own * probs[k, d - 1] * onward
        return total

    return np.log(sum(start[k] * from_here(0, k) for k in range(states)))


def segmentations(ll, start, matrix, probs, survival):
    """Every path as stays, with its log joint density; two stays in a row differ in state."""
    steps, states = ll.shape

    def from_here(t, k):
        for d in range(1, steps - t + 1):
            own = ll[t : t + d, k].sum()
            if t + d == steps:
                yield (k,) * d, own + np.log(survival[k, d - 1])
                continue
            for j in range(states):
                if j != k and matrix[k, j] > 0:
                    onward = np.log(probs[k, d - 1]) + np.log(matrix[k, j])
                    for path, log_p in from_here(t + d, j):
                        yield (k,) * d + path, own + onward + log_p

    for k in range(states):
        if start[k] > 0:
            for path, log_p in from_here(0, k):
                yield path, np.log(start[k]) + log_p


def marginals(ll, start, matrix, probs, survival):
    """Log-likelihood, probabilities (T, K) of states and (T-1, K, K) of pairs, from all paths.

    Probabilities are NaN if no path is possible.
    """
    steps, states = ll.shape
    with np.errstate(divide="ignore"):
        paths, log_joint = zip(*segmentations(ll, start, matrix, probs, survival), strict=True)
    log_joint = np.array(log_joint)
    top = log_joint.max()
    occupancies, pairs = np.zeros((steps, states)), np.zeros((steps - 1, states, states))
    if top == -np.inf:
        return top, occupancies + np.nan, pairs + np.nan
    total = top + np.log(np.exp(log_joint - top).sum())
    for path, weight in zip(paths, np.exp(log_joint - total), strict=True):
        occupancies[range(steps), path] += weight
        pairs[range(steps - 1), path[:-1], path[1:]] += weight
    return total, occupancies, pairs
