"""How often a log-density was minus infinity: failures are values, and they are counted."""

import threading
from collections import Counter

import numpy as np

__all__ = ["count_if_impossible", "impossible_evaluations"]

_counts: Counter[str] = Counter()
_lock = threading.Lock()


def count_if_impossible(kernel: object, log_density: np.ndarray) -> None:
    """Count an evaluation in which some unit has log-density ``-inf``."""
    if log_density.min(initial=0.0) == -np.inf:
        with _lock:
            _counts[str(kernel)] += 1


def impossible_evaluations(*, reset: bool = False) -> dict[str, int]:
    """Tell how many evaluations found the data impossible.

    A sampler that proposes impossible parameters (a negative scale, rows that do not sum to one,
    an observation outside the support under every state) is answered with ``-inf``, not with an
    error. Some are normal while it warms up; many point to a prior or a likelihood that does not
    fit the data.

    Parameters
    ----------
    reset : bool
        Whether to start counting anew.

    Returns
    -------
    dict of str to int
        Number of evaluations with at least one unit at ``-inf``, for each kind of log-density.
        Evaluations in this process, in the C and Numba backends: with ``pm.sample`` those of
        ``cores=1``, with nutpie's Numba backend all. Code compiled by JAX as a whole (NumPyro)
        is not interrupted to count.

    Examples
    --------
    >>> import numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> P = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> hmm = pmj.MarginalHMM.dist(pm.Exponential.dist([1.0, 2.0]), P, shape=2)
    >>> _ = impossible_evaluations(reset=True)
    >>> float(pm.logp(hmm, np.array([-1.0, 1.0])).eval())
    -inf
    >>> impossible_evaluations()
    {'hidden Markov log-likelihood': 1}
    """
    with _lock:
        counts = dict(_counts)
        if reset:
            _counts.clear()
    return counts
