"""Factorial and coupled chains against the sum over all pairs of paths."""

import itertools
from functools import lru_cache

import jax
import numpy as np
import pymc as pm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ShapeError
from pymc_jaxdist.kernels import smoothed_probs
from tests.distributions.compiled import evaluate, logp_of

RNG = np.random.default_rng(0)
Y = RNG.normal(scale=3.0, size=4)
LEVEL, BURST = np.array([0.0, 2.0]), np.array([0.0, 5.0, -3.0])
STARTS = np.array([0.3, 0.7]), np.array([0.5, 0.2, 0.3])
FACTORIAL = RNG.dirichlet(np.ones(2), size=2), RNG.dirichlet(np.ones(3), size=3)
COUPLED = RNG.dirichlet(np.ones(2), size=(2, 3)), RNG.dirichlet(np.ones(3), size=(2, 3))


@lru_cache
def smoothed_function():
    return jax.jit(smoothed_probs)


def pairs_of_paths(sizes, start, matrices, coupled, ll):
    """Every combination of a path of each chain, (P, T, C), with its log joint density.

    `ll` has one axis of time and one for each chain. A coupled matrix is read at the states of all
    chains before, another at that of its own.
    """
    steps = len(ll)
    combinations = list(itertools.product(*(range(n) for n in sizes)))
    joint = np.array(list(itertools.product(combinations, repeat=steps)))
    log_joint = np.zeros(len(joint))
    with np.errstate(divide="ignore"):
        for t in range(steps):
            now = joint[:, t]
            log_joint = log_joint + ll[(t, *now.T)]
            for c, matrix in enumerate(matrices):
                if t == 0:
                    log_joint = log_joint + np.log(start[c][now[:, c]])
                    continue
                before = joint[:, t - 1].T if coupled else joint[:, t - 1, c][None]
                log_joint = log_joint + np.log(matrix[t - 1][(*before, now[:, c])])
    return joint, log_joint


@pytest.mark.slow
@settings(max_examples=15)
@given(
    st.sampled_from([(2, 2), (2, 3), (2, 2, 2)]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.4]),
    st.integers(0, 2**32 - 1),
)
def test_all_is_the_sum_over_the_paths_of_all_chains(sizes, coupled, varying, zeros, seed):
    rng = np.random.default_rng(seed)
    steps = 3 if len(sizes) == 3 else 4
    start = [rng.dirichlet(np.ones(n)) for n in sizes]
    matrices = []
    for n in sizes:
        before = sizes if coupled else (n,)
        own = rng.dirichlet(np.ones(n), size=(steps - 1, *before)) + 1e-3
        own[..., 1:] *= rng.random((*own.shape[:-1], n - 1)) >= zeros
        own /= own.sum(axis=-1, keepdims=True)
        matrices.append(own if varying else np.broadcast_to(own[:1], own.shape))
    ll = rng.normal(scale=3.0, size=(steps, *sizes))
    ll[rng.random(steps) < 0.2] = 0.0  # nothing was observed
    paths, log_joint = pairs_of_paths(sizes, start, matrices, coupled, ll)
    total = np.logaddexp.reduce(log_joint)

    given_ones = [m if varying else m[0] for m in matrices]
    chain = pmj.product_chain(*given_ones, initial_probs=start, coupled=coupled)
    matrix, first = evaluate(chain.transition_matrix, chain.initial_probs)
    evidence = np.stack([ll[(slice(None), *states)] for states in chain.states], axis=-1)
    found = evaluate(pmj.hmm_logp(evidence, first, matrix))
    assert_allclose(found, total, rtol=1e-12, atol=1e-12)
    probs = np.exp(log_joint - total)
    smoothed = np.asarray(smoothed_function()(evidence, first, matrix))
    for c, n in enumerate(sizes):
        for k in range(n):
            expected = probs @ (paths[..., c] == k)
            assert_allclose(smoothed[:, chain.states[:, c] == k].sum(axis=1), expected, atol=1e-12)


def test_emissions_add_up_what_the_chains_contribute():
    chain = pmj.product_chain(*COUPLED, initial_probs=STARTS, coupled=True)
    ll = stats.norm.logpdf(Y[:, None, None], LEVEL[:, None] + BURST, 1.0)
    repeated = [np.broadcast_to(m, (len(Y) - 1, *m.shape)) for m in COUPLED]
    total = np.logaddexp.reduce(pairs_of_paths((2, 3), STARTS, repeated, True, ll)[1])
    mu = LEVEL[chain.states[:, 0]] + BURST[chain.states[:, 1]]
    hmm = pmj.MarginalHMM.dist(
        pm.Normal.dist(mu, 1.0), chain.transition_matrix, chain.initial_probs, shape=len(Y)
    )
    assert_allclose(logp_of(hmm, Y), total, rtol=1e-12)


def test_a_coupled_chain_that_ignores_the_others_is_factorial():
    ignoring = (
        np.broadcast_to(FACTORIAL[0][:, None], (2, 3, 2)),
        np.broadcast_to(FACTORIAL[1][None], (2, 3, 3)),
    )
    coupled = pmj.product_chain(*ignoring, coupled=True)
    factorial = pmj.product_chain(*FACTORIAL)
    one, other = evaluate(coupled.transition_matrix, factorial.transition_matrix)
    assert_allclose(one, other, rtol=1e-15)
    assert_allclose(other, np.kron(*FACTORIAL), rtol=1e-15)


def test_matrices_may_vary_in_time():
    varying = RNG.dirichlet(np.ones(2), size=(3, 2))
    chain = pmj.product_chain(varying, FACTORIAL[1], initial_probs=STARTS)
    matrices = evaluate(chain.transition_matrix)
    assert_allclose(matrices, [np.kron(own, FACTORIAL[1]) for own in varying], rtol=1e-15)


@pytest.mark.parametrize(
    ("matrices", "coupled", "message"),
    [
        ((FACTORIAL[0], COUPLED[0][0]), False, "chain 1 must have shape"),
        (FACTORIAL, True, r"chain 0 must have shape \(..., K_1, ..., K_C, K_c\)"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(matrices, coupled, message):
    with pytest.raises(ShapeError, match=message):
        pmj.product_chain(*matrices, coupled=coupled)
