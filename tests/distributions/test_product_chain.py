"""Factorial and coupled chains against the sum over all pairs of paths."""

import itertools

import numpy as np
import pymc as pm
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ShapeError
from tests.distributions.compiled import evaluate, logp_of

RNG = np.random.default_rng(0)
Y = RNG.normal(scale=3.0, size=4)
LEVEL, BURST = np.array([0.0, 2.0]), np.array([0.0, 5.0, -3.0])
STARTS = np.array([0.3, 0.7]), np.array([0.5, 0.2, 0.3])
FACTORIAL = RNG.dirichlet(np.ones(2), size=2), RNG.dirichlet(np.ones(3), size=3)
COUPLED = RNG.dirichlet(np.ones(2), size=(2, 3)), RNG.dirichlet(np.ones(3), size=(2, 3))


@pytest.mark.parametrize("coupled", [False, True])
def test_log_likelihood_is_the_sum_over_all_pairs_of_paths(coupled):
    first, second = COUPLED if coupled else FACTORIAL
    total = 0.0
    for a in itertools.product(range(2), repeat=len(Y)):
        for b in itertools.product(range(3), repeat=len(Y)):
            weight = STARTS[0][a[0]] * STARTS[1][b[0]]
            for t in range(1, len(Y)):
                before = (a[t - 1], b[t - 1])
                weight *= first[(*before, a[t])] if coupled else first[before[0], a[t]]
                weight *= second[(*before, b[t])] if coupled else second[before[1], b[t]]
            means = LEVEL[list(a)] + BURST[list(b)]
            total += weight * np.exp(stats.norm.logpdf(Y, means).sum())
    chain = pmj.product_chain(first, second, initial_probs=STARTS, coupled=coupled)
    mu = LEVEL[chain.states[:, 0]] + BURST[chain.states[:, 1]]
    hmm = pmj.MarginalHMM.dist(
        pm.Normal.dist(mu, 1.0), chain.transition_matrix, chain.initial_probs, shape=len(Y)
    )
    assert_allclose(logp_of(hmm, Y), np.log(total), rtol=1e-12)


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
