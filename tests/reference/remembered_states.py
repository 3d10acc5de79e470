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


def conditional_of_missing_values(y, path, phi, mean, location, scale):
    """Mean and covariance of the missing values of an AR(p), given its path and the others.

    By the joint normal distribution of all values after the first p, which must be there. `phi` is
    (K, p), all others (K,).
    """
    steps, order = len(y), phi.shape[1]
    path = np.asarray(path)
    # Innovations e = A (y - mean), and y[:p] given: the others are A_2^-1 (e - A_1 y_1).
    weights = np.zeros((steps - order, steps))
    for row, t in enumerate(range(order, steps)):
        weights[row, t] = 1
        for lag in range(1, order + 1):
            weights[row, t - lag] = -phi[path[t], lag - 1]
    level = mean[path]
    inverse = np.linalg.inv(weights[:, order:])
    given = location[path[order:]] - weights[:, :order] @ (y[:order] - level[:order])
    expected = level[order:] + inverse @ given
    covariance = inverse @ np.diag(scale[path[order:]] ** 2) @ inverse.T
    absent = np.isnan(y[order:])
    gain = covariance[np.ix_(absent, ~absent)] @ np.linalg.inv(covariance[np.ix_(~absent, ~absent)])
    surprise = y[order:][~absent] - expected[~absent]
    return (
        expected[absent] + gain @ surprise,
        covariance[np.ix_(absent, absent)] - gain @ covariance[np.ix_(~absent, absent)],
    )
