"""Convergence of chains, for arrays of quantities at once.

Here rather than from ArviZ, whose two versions take different containers and loop over entries.
"""

import numpy as np

__all__ = ["effective_sample_size", "r_hat"]


def r_hat(draws: np.ndarray) -> np.ndarray:
    r"""Split R-hat of each quantity: 1 where the chains agree.

    .. math::

        \hat R = \sqrt{\frac{(n-1)/n \, W + B/n}{W}}

    with the variance :math:`W` within and :math:`B/n` between halves of the chains.

    Parameters
    ----------
    draws : (chain, draw, ...) array

    Returns
    -------
    (...) array
        1 for a quantity that does not vary.

    References
    ----------
    .. [1] Gelman, A., et al. (2013). Bayesian Data Analysis, 3rd ed., section 11.4. CRC Press.

    Examples
    --------
    >>> import numpy as np
    >>> stuck = np.array([[0.0, 0.1, 0.0, 0.1], [5.0, 5.1, 5.0, 5.1]])
    >>> bool(r_hat(stuck) > 10)
    True
    """
    halves = _halves(draws)
    n = halves.shape[1]
    if n < 2:
        return np.full(draws.shape[2:], np.nan)
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    total = (n - 1) / n * within + between
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(total / within)
    return np.where(total == 0, 1.0, ratio)


def effective_sample_size(draws: np.ndarray) -> np.ndarray:
    r"""Effective sample size of the mean of each quantity.

    .. math::

        \frac{M N}{-1 + 2 \sum_{t} \hat P_t}

    with :math:`\hat P_t` sums of neighbouring autocorrelations, made positive and monotone.

    Parameters
    ----------
    draws : (chain, draw, ...) array

    Returns
    -------
    (...) array

    References
    ----------
    .. [1] Geyer, C. J. (1992). Practical Markov chain Monte Carlo. Statistical Science 7(4).

    Examples
    --------
    >>> import numpy as np
    >>> independent = np.random.default_rng(0).normal(size=(4, 500, 3))
    >>> bool((effective_sample_size(independent) > 1200).all())
    True
    """
    halves = _halves(draws)
    n_chains, n_draws = halves.shape[:2]
    if n_draws < 4:
        return np.full(draws.shape[2:], np.nan)
    centred = halves - halves.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * n_draws, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n_draws].mean(axis=0) / n_draws
    within = covariance[0] * n_draws / (n_draws - 1)
    total = covariance[0] + halves.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = 1 - (within - covariance) / total
    correlation[0] = 1.0
    pairs = correlation[: n_draws // 2 * 2].reshape(n_draws // 2, 2, *draws.shape[2:]).sum(axis=1)
    positive = np.logical_and.accumulate(pairs > 0, axis=0)
    time = -1 + 2 * np.sum(np.where(positive, np.minimum.accumulate(pairs, axis=0), 0), axis=0)
    size = n_chains * n_draws
    return np.where(total == 0, size, size / np.maximum(time, 1 / np.log10(size)))


def _halves(draws: np.ndarray) -> np.ndarray:
    """Return each chain as two of half its length."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]], axis=0)
