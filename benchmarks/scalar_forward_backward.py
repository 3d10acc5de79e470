"""A forward-backward recursion as one would write it in Numba: scalar, one sequence at a time."""

import math

import numpy as np
from numba import njit

__all__ = ["value_and_gradients"]


@njit(cache=True, error_model="numpy")
def value_and_gradients(y, mu, sigma, start, matrix):
    """Return the log-likelihood of Normal emissions and its gradient by each argument.

    Parameters
    ----------
    y : array, shape (N, T)
    mu, sigma, start : array, shape (K,)
    matrix : array, shape (K, K)
    """
    sequences, times = y.shape
    states = len(mu)
    value = 0.0
    d_mu, d_sigma, d_start = np.zeros(states), np.zeros(states), np.zeros(states)
    d_matrix = np.zeros((states, states))
    emitted, filtered = np.empty((times, states)), np.empty((times, states))
    scales, predicted, evidence = np.empty(times), np.empty(states), np.empty(states)
    constant = np.empty(states)
    for k in range(states):
        constant[k] = -math.log(sigma[k]) - 0.5 * math.log(2 * math.pi)
    for n in range(sequences):
        predicted[:] = start
        for t in range(times):
            top = -np.inf
            for k in range(states):
                z = (y[n, t] - mu[k]) / sigma[k]
                emitted[t, k] = constant[k] - 0.5 * z * z
                top = max(top, emitted[t, k])
            total = 0.0
            for k in range(states):
                emitted[t, k] = math.exp(emitted[t, k] - top)
                filtered[t, k] = predicted[k] * emitted[t, k]
                total += filtered[t, k]
            scales[t] = 1 / total
            value += math.log(total) + top
            for k in range(states):
                filtered[t, k] *= scales[t]
            predicted[:] = 0.0
            for i in range(states):
                for j in range(states):
                    predicted[j] += filtered[t, i] * matrix[i, j]
        beta = np.ones(states)
        for t in range(times - 1, -1, -1):
            for k in range(states):
                weight = filtered[t, k] * beta[k]
                z = (y[n, t] - mu[k]) / sigma[k]
                d_mu[k] += weight * z / sigma[k]
                d_sigma[k] += weight * (z * z - 1) / sigma[k]
                evidence[k] = emitted[t, k] * beta[k] * scales[t]
            if t == 0:
                d_start += evidence
                break
            for i in range(states):
                beta[i] = 0.0
                for j in range(states):
                    d_matrix[i, j] += filtered[t - 1, i] * evidence[j]
                    beta[i] += matrix[i, j] * evidence[j]
    return value, d_mu, d_sigma, d_start, d_matrix
