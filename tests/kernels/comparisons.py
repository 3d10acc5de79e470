"""What "equal" means, in one place."""

import jax
import numpy as np

from pymc_jaxdist.kernels import marginal_log_likelihood

#: Largest error relative to max(1, |reference|), for values and for exact derivatives.
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}

value = jax.jit(marginal_log_likelihood)


def _weighted(ll, start, matrix, lengths, weights):
    log_lik = marginal_log_likelihood(ll, start, matrix, lengths)
    # Impossible sequences are -inf with zero gradient; in a sum they would hide the others.
    return (weights * jax.numpy.where(log_lik > -jax.numpy.inf, log_lik, 0)).sum(), log_lik


value_and_gradient = jax.jit(jax.value_and_grad(_weighted, (0, 1, 2), has_aux=True))


def relative_error(actual, expected):
    """Largest error relative to max(1, |expected|); equal infinities have error 0."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert not np.isnan(actual).any()
    if actual.size == 0:
        return 0.0
    same = actual == expected
    with np.errstate(invalid="ignore"):
        error = np.abs(actual - expected) / np.maximum(1, np.abs(expected))
    return float(np.max(np.where(same, 0, error)))


def log_space_rounding(ll):
    """How far exponentials of the reference may be off: logarithms up to this size are rounded."""
    size = np.abs(np.where(np.isfinite(ll), ll, 0)).max(axis=-1).sum(axis=-1).max(initial=0)
    return TOLERANCE["float64"] + 4 * np.finfo(float).eps * float(size)


def assert_close(actual, expected, tolerance=TOLERANCE["float64"]):
    error = relative_error(actual, expected)
    assert error <= tolerance, f"error {error:.2e} > {tolerance:.0e}\n{actual}\n{expected}"
