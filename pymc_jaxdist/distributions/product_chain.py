"""Several hidden chains at once, as one chain of the combinations of their states."""

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import as_probabilities, describe, known_shape
from pymc_jaxdist.errors import ShapeError, compose_message

__all__ = ["ProductChain", "product_chain"]


class ProductChain(NamedTuple):
    """One chain whose states are the combinations of the states of several.

    Attributes
    ----------
    transition_matrix : TensorVariable ``(..., K, K)``
        K is the product of the numbers of states.
    initial_probs : TensorVariable ``(..., K)`` or str
        ``"stationary"`` if none were given.
    states : array of int ``(K, C)``
        The state of each of the C chains in each combination; that of the last chain changes
        fastest.
    """

    transition_matrix: TensorVariable
    initial_probs: Any
    states: np.ndarray


def product_chain(
    *transition_matrices: Any, initial_probs: Sequence[Any] | None = None, coupled: bool = False
) -> ProductChain:
    r"""Combine several hidden chains into one, for factorial and coupled hidden Markov models.

    .. math::

        P(z_t^1, \dots, z_t^C \mid z_{t-1}) = \prod_c \Gamma^c_{z_{t-1}^c z_t^c}
        \quad \text{or, coupled,} \quad \prod_c \Gamma^c_{z_{t-1}^1 \dots z_{t-1}^C, z_t^c}

    Parameters
    ----------
    *transition_matrices : tensor_like
        One for each chain: ``(..., K_c, K_c)``; of coupled chains ``(..., K_1, ..., K_C, K_c)``,
        from the states of all chains to that of its own.
    initial_probs : sequence of tensor_like ``(..., K_c)``, optional
        Distribution of the first state of each chain. Without it the combined chain starts in its
        stationary distribution.
    coupled : bool
        Whether the next state of a chain depends on the states of the others.

    Returns
    -------
    ProductChain
        ``transition_matrix``, ``initial_probs`` and ``states``. Emission parameters are made of
        those of each chain by ``states``: ``a[states[:, 0]] + b[states[:, 1]]``. The cost is that
        of a chain with as many states as there are combinations.

    Raises
    ------
    ShapeError
        If the number of states of a chain is not known, or coupled chains do not fit together.

    References
    ----------
    .. [1] Ghahramani, Z., & Jordan, M. I. (1997). Factorial hidden Markov models. Machine
       Learning 29.
    .. [2] Brand, M., Oliver, N., & Pentland, A. (1997). Coupled hidden Markov models for complex
       action recognition. CVPR.

    Examples
    --------
    A level that moves slowly and an outburst now and then, which add up:

    >>> import numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> slow = np.array([[0.95, 0.05], [0.05, 0.95]])
    >>> burst = np.array([[0.9, 0.1], [0.8, 0.2]])
    >>> chain = pmj.product_chain(slow, burst)
    >>> chain.states.tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> mu = np.array([0.0, 3.0])[chain.states[:, 0]] + np.array([0.0, 10.0])[chain.states[:, 1]]
    >>> y = pmj.MarginalHMM.dist(
    ...     pm.Normal.dist(mu, 1.0), chain.transition_matrix, chain.initial_probs, steps=50
    ... )
    >>> pm.draw(y).shape
    (50,)
    """
    where = "product_chain"
    matrices = [as_probabilities(where, "a transition matrix", m) for m in transition_matrices]
    n_from = len(matrices) if coupled else 1
    sizes = _numbers_of_states(where, matrices, n_from)
    states = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=-1)
    factors = []
    for c, matrix in enumerate(matrices):
        before = [states[:, d, None] for d in (range(len(sizes)) if coupled else [c])]
        after = states[None, :, c]
        factors.append(matrix[(..., *np.broadcast_arrays(*before, after))])
    start: Any = "stationary"
    if initial_probs is not None:
        given = [as_probabilities(where, "initial_probs", p) for p in initial_probs]
        start = reduce(pt.mul, [p[..., states[:, c]] for c, p in enumerate(given)])
    return ProductChain(reduce(pt.mul, factors), start, states)


def _numbers_of_states(
    where: str, matrices: Sequence[TensorVariable], n_from: int
) -> tuple[int, ...]:
    """Return the number of states of each chain; raise if matrices do not fit together."""
    shapes = [known_shape(matrix) for matrix in matrices]
    sizes = tuple(shape[-1] for shape in shapes if shape)
    for c, (matrix, shape) in enumerate(zip(matrices, shapes, strict=True)):
        expected = sizes if n_from > 1 else (shape[-1:] if shape else ())
        if not shape or None in sizes or shape[-1 - n_from : -1] != expected:
            layout = "(..., K_1, ..., K_C, K_c)" if n_from > 1 else "(..., K_c, K_c)"
            raise ShapeError(
                compose_message(
                    where,
                    f"the transition matrix of chain {c} must have shape {layout}.",
                    got=describe(matrix, shape),
                    expected=f"as many states as the other chains: {sizes}" if n_from > 1 else None,
                    suggestion="coupled=True if it depends on the states of all chains"
                    if n_from == 1
                    else None,
                )
            )
    return tuple(int(n) for n in sizes if n is not None)
