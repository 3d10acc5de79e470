"""Maximum likelihood of stationary Poisson hidden Markov models, as the textbook prints it."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from pymc_jaxdist import MarginalHMM
from pymc_jaxdist.datasets import load_earthquakes
from tests.slow_cases import slow_except

QUAKES = load_earthquakes()
# With four states about one start in four climbs to the highest maximum.
STARTS = {1: 1, 2: 3, 3: 5, 4: 20}


@pytest.fixture(scope="module")
def log_likelihood():
    """One compiled function of unconstrained parameters, for any number of states."""
    log_rates, logits = pt.dvector("log_rates"), pt.dmatrix("logits")
    hmm = MarginalHMM.dist(
        emission=pm.Poisson.dist(pt.exp(log_rates)),
        transition_matrix=pt.special.softmax(logits, axis=-1),
        initial_probs="stationary",
        shape=QUAKES.count.shape,
    )
    logp = pm.logp(hmm, QUAKES.count)
    inputs = [log_rates, logits]
    return pytensor.function(inputs, [logp, *pt.grad(logp, inputs)], mode="JAX")


@pytest.fixture(scope="module")
def maximum(log_likelihood):
    """The best of several local maxima, by number of states."""
    found = {}

    def maximise(n_states):
        if n_states not in found:
            found[n_states] = best_of_several_starts(log_likelihood, n_states)
        return found[n_states]

    return maximise


def best_of_several_starts(log_likelihood, n_states):
    def minus_log_likelihood(x):
        log_rates, logits = x[:n_states], x[n_states:].reshape(n_states, n_states)
        value, *gradients = log_likelihood(log_rates, logits)
        return -float(value), -np.concatenate([np.ravel(g) for g in gradients])

    rng = np.random.default_rng(n_states)
    fits = []
    for _ in range(STARTS[n_states]):
        rates = rng.choice(np.unique(QUAKES.count), n_states, replace=False)
        logits = rng.normal(size=(n_states, n_states)) + 2 * np.eye(n_states)
        start = np.concatenate([np.log(rates), logits.ravel()])
        fits.append(minimize(minus_log_likelihood, start, jac=True, method="L-BFGS-B"))
    # The best once more, to the precision of the printed parameters.
    best = min(fits, key=lambda fit: fit.fun)
    fits.append(minimize(minus_log_likelihood, best.x, jac=True, method="BFGS"))
    best = min(fits, key=lambda fit: fit.fun)

    rates = np.exp(best.x[:n_states])
    logits = best.x[n_states:].reshape(n_states, n_states)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    transitions = weights / weights.sum(axis=1, keepdims=True)
    order = np.argsort(rates)
    return best.fun, rates[order], stationary(transitions)[order]


def stationary(transitions):
    """Left eigenvector of eigenvalue 1, which the package does not compute this way."""
    values, vectors = np.linalg.eig(transitions.T)
    vector = np.real(vectors[:, np.argmin(abs(values - 1))])
    return vector / vector.sum()


@pytest.mark.parametrize("n_states", slow_except([1, 2, 3, 4], 1, 2, 3))
def test_maximised_log_likelihood(maximum, n_states):
    minus_log_lik, _, _ = maximum(n_states)
    published = QUAKES.published["minus_log_lik"][str(n_states)]
    assert round(minus_log_lik, 4) == published


@pytest.mark.parametrize("n_states", [2, 3])
def test_rates_and_stationary_distribution(maximum, n_states):
    _, rates, probs = maximum(n_states)
    published = QUAKES.published[f"m{n_states}"]
    # printed with three and four decimals
    assert_allclose(rates, published["rate"], atol=1.5e-3)
    assert_allclose(probs, published["stationary"], atol=1.5e-4)


@pytest.mark.parametrize("n_states", slow_except([2, 3, 4], 2, 3))
def test_information_criteria(maximum, n_states):
    minus_log_lik, _, _ = maximum(n_states)
    n_parameters = n_states**2  # rates, and a transition matrix whose rows sum to one
    n_times = len(QUAKES.count)
    assert_allclose(
        [2 * minus_log_lik + penalty * n_parameters for penalty in (2, np.log(n_times))],
        [QUAKES.published[name][str(n_states)] for name in ("AIC", "BIC")],
        atol=1.5e-4,
    )
