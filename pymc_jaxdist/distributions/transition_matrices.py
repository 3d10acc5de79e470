"""Ways to write down a transition matrix: from logits, from rates, and a prior that stays put."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.arguments import describe, known_shape, known_value
from pymc_jaxdist.errors import ParameterError, ShapeError, compose_message
from pymc_jaxdist.kernels.continuous_time import transition_probs_from_rates
from pymc_jaxdist.ops import jax_function

__all__ = ["sticky_dirichlet", "transition_from_logits", "transition_from_rates"]


def transition_from_logits(logits: Any) -> TensorVariable:
    r"""Transition matrix from logits of leaving each state, with staying as the reference.

    .. math::

        \Gamma_{ij} = \frac{e^{\eta_{ij}}}{1 + \sum_{l \ne i} e^{\eta_{il}}} \quad (j \ne i),
        \qquad \Gamma_{ii} = \frac{1}{1 + \sum_{l \ne i} e^{\eta_{il}}}

    Parameters
    ----------
    logits : tensor_like ``(..., K, K-1)``
        Logits :math:`\eta_{ij}` of moving from state i (row) to the other states, in order,
        against staying. With covariates ``x`` ``(T,)``, coefficients ``b0`` and ``b1`` ``(K,
        K-1)``: ``b0 + b1 * x[1:, None, None]`` gives ``(T-1, K, K-1)``, where the covariate at a
        time moves the transition into that time. ``-inf`` forbids a transition.

    Returns
    -------
    TensorVariable ``(..., K, K)``
        Rows sum to one.

    Raises
    ------
    ShapeError
        If the last two dimensions are not K and K - 1.

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., section 10.1. CRC Press.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc_jaxdist as pmj
    >>> pmj.transition_from_logits(np.log([[1.0], [3.0]])).eval()
    array([[0.5 , 0.5 ],
           [0.75, 0.25]])
    """
    where = "transition_from_logits"
    logits = pt.as_tensor_variable(logits).astype("float64")
    shape = known_shape(logits)
    states, others = shape[-2:] if len(shape) > 1 else (0, 0)
    if len(shape) < 2 or (states is not None and others not in (None, states - 1)):
        raise ShapeError(
            compose_message(
                where,
                "logits must have shape (..., K, K-1).",
                got=describe(logits, shape),
                expected="for each state (row), one logit for each other state",
            )
        )
    *batch, n, _ = (
        length if known is None else known
        for known, length in zip(shape, tuple(logits.shape), strict=True)
    )
    # Between two entries of the diagonal, read row by row, lie K others: so many logits are set
    # behind each entry of the diagonal but the last.
    between = logits.reshape((*batch, n - 1, n))
    staying = pt.zeros((*batch, n - 1, 1))
    rest = pt.concatenate([between, staying], axis=-1).reshape((*batch, (n - 1) * (n + 1)))
    first = pt.zeros((*batch, 1))
    every = pt.concatenate([first, rest], axis=-1).reshape((*batch, n, n))
    return pt.special.softmax(every, axis=-1)


def transition_from_rates(rates: Any, gaps: Any) -> TensorVariable:
    r"""Transition matrices of a chain in continuous time, observed at irregular times.

    .. math::

        \Gamma_t = \exp(Q \, \Delta_t)

    Parameters
    ----------
    rates : tensor_like ``(..., K, K)``
        Rates :math:`Q_{ij}` of moving from state i to j, per unit of time. The diagonal is not
        read: it is what makes each row sum to zero. Zeros forbid a direct transition.
    gaps : array_like ``(T-1,)`` or ``(N, T-1)``, or a number
        Times between successive observations. Equal gaps are computed once. With a number the
        result is one static matrix.

    Returns
    -------
    TensorVariable ``(..., T-1, K, K)``, or ``(..., K, K)`` for one gap
        With an exact gradient; what is impossible is exactly 0. For a `MarginalHMM` with rates
        that differ between sequences give ``rates`` the shape ``(N, K, K)``. NaN, and so
        log-density ``-inf``, where a rate is negative.

    Raises
    ------
    ShapeError, ParameterError
        If ``rates`` is not square, or a gap is negative or not finite.

    Notes
    -----
    Time of death known exactly: let the last observation be that of the moment before, with the
    log-rate of death in each state added to its log-density, in `hmm_logp`.

    References
    ----------
    .. [1] Jackson, C. H. (2011). Multi-state models for panel data: the msm package for R.
       Journal of Statistical Software 38(8), section 1.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc_jaxdist as pmj
    >>> rates = np.array([[0.0, 1.0], [0.5, 0.0]])
    >>> pmj.transition_from_rates(rates, np.array([0.1, 2.0])).eval().round(3)
    array([[[0.907, 0.093],
            [0.046, 0.954]],
    <BLANKLINE>
           [[0.367, 0.633],
            [0.317, 0.683]]])
    """
    where = "transition_from_rates"
    rates = pt.as_tensor_variable(rates).astype("float64")
    shape = known_shape(rates)
    if len(shape) < 2 or (None not in shape[-2:] and shape[-1] != shape[-2]):
        raise ShapeError(
            compose_message(
                where,
                "rates must have shape (..., K, K).",
                got=describe(rates, shape),
                suggestion="a row and a column for each state; the diagonal is not read",
            )
        )
    gaps = pt.as_tensor_variable(gaps).astype("float64")
    known = known_value(gaps)
    if known is not None and not (np.isfinite(known).all() and (known >= 0).all()):
        raise ParameterError(
            compose_message(
                where,
                "gaps must be finite and not negative.",
                got=f"{known[~(np.isfinite(known) & (known >= 0))].flat[0]:.6g}",
                suggestion="np.diff(times), with increasing times",
            )
        )
    probs = jax_function(transition_probs_from_rates)
    if gaps.type.ndim == 0:
        return probs(rates, gaps[None])[..., 0, :, :]
    if isinstance(gaps, Constant) and 2 in (rates.type.ndim, gaps.type.ndim + 1):
        different, position = np.unique(gaps.data, return_inverse=True)
        return probs(rates, different)[..., position.reshape(gaps.data.shape), :, :]
    return probs(rates, gaps)


def sticky_dirichlet(
    name: str,
    n_states: int,
    stay: Any = 10.0,
    others: Any = 1.0,
    *,
    dims: Any = None,
) -> TensorVariable:
    r"""Prior for a transition matrix whose states last.

    .. math::

        \Gamma_{i \cdot} \sim \mathrm{Dirichlet}(\alpha_i), \qquad
        \alpha_{ij} = \text{others} + \text{stay} \, [i = j]

    The prior mean of staying is :math:`(\text{others} + \text{stay}) / (K \, \text{others} +
    \text{stay})`.

    Parameters
    ----------
    name : str
        Name of the variable.
    n_states : int
        K.
    stay : tensor_like
        Additional weight on staying: the larger, the longer states last.
    others : tensor_like
        Weight of every transition.
    dims : tuple of str, optional
        Names of the rows and the columns.

    Returns
    -------
    TensorVariable ``(K, K)``
        The random variable, registered in the model.

    References
    ----------
    .. [1] Fox, E. B., Sudderth, E. B., Jordan, M. I., & Willsky, A. S. (2011). A sticky HDP-HMM
       with application to speaker diarization. Annals of Applied Statistics 5(2A).

    Examples
    --------
    >>> import numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> with pm.Model():
    ...     P = pmj.sticky_dirichlet("P", 2, stay=8.0)
    >>> P.owner.inputs[-1].eval()
    array([[9., 1.],
           [1., 9.]])
    """
    concentration = others * pt.ones((n_states, n_states)) + stay * pt.eye(n_states)
    return pm.Dirichlet(name, a=concentration, dims=dims)
