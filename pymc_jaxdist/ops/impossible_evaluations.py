"""How often a log-density was minus infinity: failures are values, and they are counted."""

import random
import threading
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np

__all__ = ["RememberedInputs", "count_impossible_evaluation", "impossible_evaluations"]

# Of how many kernels, and how many of their evaluations, the inputs are remembered.
KERNELS, EVALUATIONS = 8, 50

_counts: Counter[str] = Counter()
_lock = threading.Lock()


class RememberedInputs:
    """The inputs of some of the evaluations of a kernel that were impossible, drawn at random.

    Attributes
    ----------
    n_evaluations : int
        How many there were.
    inputs : list of list of array
        Those of at most `EVALUATIONS` of them.
    """

    _of_kernels: ClassVar[dict[Hashable, "RememberedInputs"]] = {}

    def __init__(self) -> None:
        self.n_evaluations = 0
        self.inputs: list[list[Any]] = []
        self._random = random.Random(0)

    def add(self, inputs: Sequence[Any]) -> None:
        """Remember inputs, in the place of others once there are enough (reservoir sampling)."""
        self.n_evaluations += 1
        place = len(self.inputs)
        if place == EVALUATIONS:
            place = self._random.randrange(self.n_evaluations)
            if place >= EVALUATIONS:
                return
        self.inputs[place : place + 1] = [[np.array(x) for x in inputs]]

    @classmethod
    def of_kernel(cls, kernel: Hashable) -> "RememberedInputs":
        """Return a copy of what is remembered of a kernel."""
        copy = cls()
        with _lock:
            found = cls._of_kernels.get(kernel)
            if found is not None:
                copy.n_evaluations, copy.inputs = found.n_evaluations, list(found.inputs)
        return copy


def count_impossible_evaluation(kernel: Any, inputs: Sequence[Any]) -> None:
    """Count an evaluation in which some unit has log-density ``-inf``.

    The inputs are remembered for kernels that can say why (`why_impossible`), but not the first
    one, which is the same for all evaluations: the data.
    """
    with _lock:
        _counts[str(kernel)] += 1
        if hasattr(kernel, "why_impossible"):
            known = RememberedInputs._of_kernels
            if kernel not in known and len(known) == KERNELS:
                del known[next(iter(known))]
            known.setdefault(kernel, RememberedInputs()).add(inputs[1:])


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
        is not interrupted to count. `failed_solves` says why differential equations failed.

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
            RememberedInputs._of_kernels.clear()
    return counts
