"""Hidden Markov models in NumPy, one sequence at a time, as plainly as possible.

Arguments everywhere: `ll` (T, K) log densities, `start` (K,), `matrix` (K, K) or (T-1, K, K).
"""

import itertools

import numpy as np


def extended(*arrays):
    """Arrays in extended precision (80 bits where the machine has it).

    Exponentials of sums of logarithms lose digits as the logarithms grow: in float64 this
    reference would be off by 1e-11 where the kernels are off by 1e-14.
    """
    return [np.asarray(a, dtype=np.longdouble) for a in arrays]


def logsumexp(x, axis=None, keepdims=False):
    """The logarithm of a sum of exponentials; -inf for a sum of nothing but zeros."""
    x = np.asarray(x)
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total = np.sum(np.exp(x - top), axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):
        result = np.log(total) + top
    return result if keepdims else np.squeeze(result, axis=axis)[()]


def _matrix_at(matrix, t):
    """The matrix of the transition from t - 1 to t."""
    return matrix if matrix.ndim == 2 else matrix[0 if len(matrix) == 1 else t - 1]


def log_forward(ll, start, matrix):
    """log p(y_0 ... y_t, z_t = k), by the forward algorithm in log space."""
    ll, start, matrix = extended(ll, start, matrix)
    with np.errstate(divide="ignore"):
        log_alpha = [np.log(start) + ll[0]]
        for t in range(1, len(ll)):
            log_matrix = np.log(_matrix_at(matrix, t))
            log_alpha.append(logsumexp(log_alpha[-1][:, None] + log_matrix, axis=0) + ll[t])
    return np.array(log_alpha)


def log_backward(ll, start, matrix):
    """log p(y_{t+1} ... y_{T-1} | z_t = k)."""
    ll, start, matrix = extended(ll, start, matrix)
    log_beta = [np.zeros(len(start), dtype=np.longdouble)]
    with np.errstate(divide="ignore"):
        for t in range(len(ll) - 1, 0, -1):
            log_matrix = np.log(_matrix_at(matrix, t))
            log_beta.insert(0, logsumexp(log_matrix + ll[t] + log_beta[0], axis=1))
    return np.array(log_beta)


def log_likelihood(ll, start, matrix):
    return logsumexp(log_forward(ll, start, matrix)[-1])


def filtered_probs(ll, start, matrix):
    log_alpha = log_forward(ll, start, matrix)
    return np.exp(log_alpha - logsumexp(log_alpha, axis=1, keepdims=True))


def smoothed_probs(ll, start, matrix):
    both = log_forward(ll, start, matrix) + log_backward(ll, start, matrix)
    return np.exp(both - logsumexp(both, axis=1, keepdims=True))


def gradient(ll, start, matrix):
    """Derivatives of the log-likelihood: posterior counts divided by the probabilities.

    The derivative with respect to a constant matrix is summed over time.
    """
    log_alpha, log_beta = log_forward(ll, start, matrix), log_backward(ll, start, matrix)
    total = logsumexp(log_alpha[-1])
    d_ll = np.exp(log_alpha + log_beta - total)
    d_start = np.exp(ll[0] + log_beta[0] - total)
    d_steps = np.exp(log_alpha[:-1, :, None] + (ll[1:] + log_beta[1:])[:, None, :] - total)
    if matrix.ndim == 3 and len(matrix) == len(ll) - 1:
        return d_ll, d_start, d_steps
    return d_ll, d_start, d_steps.sum(axis=0).reshape(matrix.shape)


def enumerate_paths(ll, start, matrix):
    """Every path with its log joint density with the observations; K**T of them."""
    steps, states = ll.shape
    with np.errstate(divide="ignore"):
        for path in itertools.product(range(states), repeat=steps):
            log_joint = np.log(start[path[0]]) + ll[0, path[0]]
            for t in range(1, steps):
                log_joint += np.log(_matrix_at(matrix, t)[path[t - 1], path[t]]) + ll[t, path[t]]
            yield path, log_joint


def brute_force(ll, start, matrix):
    """Log-likelihood, occupancies (T, K) and expected transitions (T-1, K, K) by enumeration.

    Without any possible path the counts are zero.
    """
    steps, states = ll.shape
    paths, log_joint = zip(*enumerate_paths(ll, start, matrix), strict=True)
    total = logsumexp(log_joint)
    occupancies = np.zeros((steps, states))
    transitions = np.zeros((steps - 1, states, states))
    if total == -np.inf:
        return total, occupancies, transitions
    for path, weight in zip(paths, np.exp(np.array(log_joint) - total), strict=True):
        occupancies[range(steps), path] += weight
        for t in range(1, steps):
            transitions[t - 1, path[t - 1], path[t]] += weight
    return total, occupancies, transitions


def stationary_distribution(matrix):
    """The left eigenvector of eigenvalue 1."""
    values, vectors = np.linalg.eig(matrix.T)
    vector = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    return vector / vector.sum()


def scaled_gradient(ll, start, matrix):
    """`log_likelihood` and `gradient` of a long series with a constant matrix, by scaling."""
    top = ll.max(axis=1)
    emission = np.exp(ll - top[:, None])
    alpha, norm = np.empty_like(ll), np.empty(len(ll))
    predicted = start
    for t in range(len(ll)):
        raw = predicted * emission[t]
        norm[t] = raw.sum()
        alpha[t] = raw / norm[t]
        predicted = alpha[t] @ matrix
    beta = np.ones_like(ll)
    for t in range(len(ll) - 1, 0, -1):
        beta[t - 1] = matrix @ (emission[t] * beta[t]) / norm[t]
    evidence = emission * beta / norm[:, None]
    pairs = alpha[:-1].T @ evidence[1:]
    return np.sum(np.log(norm) + top), (alpha * beta, evidence[0], pairs)
