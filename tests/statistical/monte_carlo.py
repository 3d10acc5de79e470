"""How far posterior means may differ: effective sample sizes and Monte Carlo errors.

Written from Geyer (1992) rather than taken from ArviZ, whose two versions name things differently.
"""

import numpy as np

__all__ = ["effective_sample_size", "standard_errors_apart"]


def effective_sample_size(draws):
    """Effective sample size of the mean of ``(chain, draw)`` values.

    Sums autocorrelations until consecutive pairs turn negative; chains that disagree enlarge the
    variance against which they are measured, and so lower the size.
    """
    n_chains, n_draws = draws.shape
    centred = draws - draws.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * n_draws, axis=1)
    covariance = np.fft.irfft(abs(spectrum) ** 2, axis=1)[:, :n_draws].mean(axis=0) / n_draws
    within = covariance[0] * n_draws / (n_draws - 1)
    total = covariance[0] + (draws.mean(axis=1).var(ddof=1) if n_chains > 1 else 0.0)
    correlation = 1 - (within - covariance) / total
    pairs = correlation[: n_draws // 2 * 2].reshape(-1, 2).sum(axis=1)
    n_pairs = np.argmax(pairs < 0) if (pairs < 0).any() else len(pairs)
    time = -1 + 2 * np.minimum.accumulate(pairs[:n_pairs]).sum()
    return n_chains * n_draws / max(time, 1 / np.log10(n_chains * n_draws))


def standard_errors_apart(first, second):
    """Difference of two means of ``(chain, draw, ...)`` values in standard errors, elementwise."""
    first, second = (np.asarray(draws).reshape(*draws.shape[:2], -1) for draws in (first, second))
    errors = [
        [draws[..., i].var() / effective_sample_size(draws[..., i]) for i in range(draws.shape[2])]
        for draws in (first, second)
    ]
    difference = first.mean(axis=(0, 1)) - second.mean(axis=(0, 1))
    return difference / np.sqrt(np.sum(errors, axis=0))
