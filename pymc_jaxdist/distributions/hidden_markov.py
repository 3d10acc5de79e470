"""`MarginalHMM`: a hidden Markov model with the hidden states summed out."""

from typing import Any

from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.hidden_markov_arguments import prepare
from pymc_jaxdist.distributions.registration import observed_and_shape, register, unregistered

__all__ = ["MarginalHMM"]


class MarginalHMM:
    r"""Hidden Markov model whose hidden states are summed out exactly.

    A sequence :math:`y_1, \dots, y_T` depends on hidden states :math:`z_t` in
    :math:`\{0, \dots, K-1\}` that form a Markov chain:

    .. math::

        z_1 \sim \delta, \qquad
        P(z_t = j \mid z_{t-1} = i) = \Gamma_{ij}, \qquad
        y_t \mid z_t = k \sim f_k(\theta_k)

    .. math::

        p(y) = \sum_{z_1, \dots, z_T} \delta_{z_1} f_{z_1}(y_1)
               \prod_{t=2}^{T} \Gamma_{z_{t-1} z_t} f_{z_t}(y_t)

    The first observation comes from the initial distribution, with no transition before it. The
    log-likelihood and its exact gradient come from one call of a compiled JAX kernel (scaled
    forward-backward [1]_ [2]_), in every sampler and backend of PyMC.

    ========  =======================================================
    Support   that of the emission, for each of T observations
    Unit      one log-density per sequence
    ========  =======================================================

    Every argument broadcasts; the last dimensions mean times and states, leading ones sequences.

    Parameters
    ----------
    name : str
        Name of the variable.
    emission : distribution or tuple of distributions
        An unregistered PyMC distribution, ``pm.Poisson.dist(rates)``, whose batch shape
        broadcasts against ``(..., T, K)``: parameters ``(K,)`` are static, ``(T, K)`` vary in
        time, ``(N, 1, K)`` differ between sequences. A multivariate distribution observes
        vectors ``(..., T, D)``. A tuple of D univariate distributions of any families observes D
        channels ``(..., T, D)``, independent given the state. `AutoRegressive` makes a channel
        depend on its own past.
    transition_matrix : tensor_like, broadcasts against ``(..., T-1, K, K)``
        ``transition_matrix[i, j]`` is the probability of moving from state ``i`` to ``j``. ``(K,
        K)`` is static, ``(T-1, K, K)`` varies in time, ``(N, 1, K, K)`` differs between
        sequences. Zeros are allowed and exact.
    initial_probs : tensor_like ``(..., K)``, ``"stationary"`` or ``"uniform"``
        Distribution of the first state. The default is the stationary distribution of the
        transition matrix, :math:`\delta = \delta \Gamma`, which must then not vary in time.
    lengths : array_like of int, broadcasts against ``(...)``, optional
        Lengths of ragged sequences padded to a common T. What lies beyond a length is ignored.
    allowed_states : array_like, optional
        Known or partly known states: integer labels ``(..., T)`` with -1 for unknown, or a
        boolean mask ``(..., T, K)``. They condition the likelihood, not random draws.
    observed : array_like, optional
        Sequences ``(..., T)``, or ``(..., T, D)`` for several channels. NaN and masked entries
        are missing and summed out exactly, each channel by itself. ``pm.Data`` and
        ``pm.Minibatch`` are welcome.
    dims : str or tuple of str, optional
        Dimension names.
    shape : int or tuple, optional
        Shape of the variable, when neither ``observed`` nor ``dims`` gives it.
    steps : int, optional
        Number of times T, when nothing else gives it.
    order : int
        How many states the next one depends on. With ``order=2`` the transition probabilities
        have shape ``(..., K, K, K)``: ``transition_matrix[h, i, j]`` is that of ``j`` after ``h``
        and ``i``, and ``initial_probs`` ``(..., K, K)`` is the joint distribution of the state
        before the first and the first. The cost is that of a chain with :math:`K^2` states.
    **kwargs
        Passed to PyMC: ``total_size``, ``initval``, ``transform``, ...

    Returns
    -------
    TensorVariable
        The random variable, registered in the model.

    Raises
    ------
    ShapeError, ParameterError, DataError, DistributionError
        Where a shape, value or type is known to be wrong when the model is built. During
        sampling an impossible parameter value has log-density ``-inf``.

    References
    ----------
    .. [1] Rabiner, L. R. (1989). A tutorial on hidden Markov models and selected applications in
       speech recognition. Proceedings of the IEEE 77(2), section V.A.
    .. [2] Zucchini, W., MacDonald, I. L., & Langrock, R. (2016). Hidden Markov Models for Time
       Series, 2nd ed., sections 2.3 and 3.2. CRC Press.

    Examples
    --------
    Counts from two regimes:

    >>> import numpy as np, pymc as pm
    >>> import pymc_jaxdist as pmj
    >>> counts = np.array([3, 2, 4, 12, 15, 11, 3, 1])
    >>> with pm.Model() as model:
    ...     rates = pm.Gamma("rates", 2, 0.2, shape=2)
    ...     P = pm.Dirichlet("P", a=np.ones((2, 2)))
    ...     y = pmj.MarginalHMM("y", pm.Poisson.dist(rates), P, observed=counts)
    >>> round(float(model.point_logps()["y"]))
    -35
    """

    def __new__(
        cls,
        name: str,
        emission: Any,
        transition_matrix: Any,
        initial_probs: Any = "stationary",
        *,
        lengths: Any = None,
        allowed_states: Any = None,
        observed: Any = None,
        dims: Any = None,
        shape: Any = None,
        steps: int | None = None,
        order: int = 1,
        **kwargs: Any,
    ) -> TensorVariable:
        where = f"{cls.__name__} '{name}'"
        observed, shape = observed_and_shape(where, observed, dims, shape)
        prepared = prepare(
            where,
            emission,
            transition_matrix,
            initial_probs,
            lengths=lengths,
            allowed_states=allowed_states,
            observed=observed,
            shape=shape,
            steps=steps,
            order=order,
        )
        return register(cls.__name__, name, prepared, observed, dims, kwargs)

    @classmethod
    def dist(
        cls,
        emission: Any,
        transition_matrix: Any,
        initial_probs: Any = "stationary",
        *,
        lengths: Any = None,
        allowed_states: Any = None,
        shape: Any = None,
        steps: int | None = None,
        order: int = 1,
        **kwargs: Any,
    ) -> TensorVariable:
        """Create the distribution without registering it, for ``pm.draw`` and ``pm.logp``.

        Parameters
        ----------
        emission, transition_matrix, initial_probs, lengths, allowed_states, shape, steps, order
            As in `MarginalHMM`.
        **kwargs
            Passed to PyMC.

        Returns
        -------
        TensorVariable
            The unregistered random variable.

        Examples
        --------
        >>> import numpy as np, pymc as pm
        >>> import pymc_jaxdist as pmj
        >>> P = np.array([[0.9, 0.1], [0.2, 0.8]])
        >>> hmm = pmj.MarginalHMM.dist(pm.Normal.dist([0.0, 5.0], 1.0), P, shape=(3, 20))
        >>> pm.draw(hmm).shape
        (3, 20)
        >>> pm.logp(hmm, np.zeros((3, 20))).eval().shape
        (3,)
        """
        prepared = prepare(
            f"{cls.__name__}.dist",
            emission,
            transition_matrix,
            initial_probs,
            lengths=lengths,
            allowed_states=allowed_states,
            observed=None,
            shape=shape,
            steps=steps,
            order=order,
        )
        return unregistered(cls.__name__, prepared, kwargs)
