"""Chains and emissions with a memory in NumPy, by enumeration of every path of the states."""

import itertools

import numpy as np

from tests.reference.hidden_markov import logsumexp


def order_two_paths(ll, start, tensor):
    """Every path of a chain of order 2 with its log joint density with the observations.

    `start[h, i]` is the probability of h before the first observation and i at it,
    `tensor[h, i, j]` that of j after h and i; with a first axis of time if it varies.
    """
    steps, states = ll.shape
    for path in itertools.product(range(states), repeat=steps):
        total = 0.0
        for before in range(states):
            states_from_before = (before, *path)
            weight = start[before, path[0]]
            for t in range(1, steps):
                own = tensor if tensor.ndim == 3 else tensor[t - 1]
                weight = weight * own[states_from_before[t - 1 : t + 2]]
            total += weight
        with np.errstate(divide="ignore"):
            yield path, np.log(total) + ll[range(steps), path].sum()


def autoregressive_log_density(y, path, log_density, phi, mean):
    """Log-density of what follows the first p values, given a path of the states.

    A value is left out where it, or one of the p before it, is missing.
    """
    total, order = 0.0, phi.shape[1]
    for t in range(order, len(y)):
        if np.isnan(y[t - order : t + 1]).any():
            continue
        residual = y[t] - mean[path[t]]
        for lag in range(1, order + 1):
            residual -= phi[path[t], lag - 1] * (y[t - lag] - mean[path[t - lag]])
        total += log_density(residual, path[t])
    return total


def autoregressive_paths(y, start, matrix, log_density, phi, mean):
    """Every path of a chain of order 1 with its log joint density."""
    for path in itertools.product(range(len(start)), repeat=len(y)):
        of_path = np.log(start[path[0]]) + np.log(matrix[path[:-1], path[1:]]).sum()
        yield path, of_path + autoregressive_log_density(y, path, log_density, phi, mean)


def total_and_occupancies(paths, steps, states):
    """Log-likelihood and smoothed probabilities (T, K) from all paths."""
    paths, log_joint = zip(*paths, strict=True)
    total = logsumexp(log_joint)
    occupancies = np.zeros((steps, states))
    for path, weight in zip(paths, np.exp(np.array(log_joint) - total), strict=True):
        occupancies[range(steps), path] += weight
    return float(total), occupancies
