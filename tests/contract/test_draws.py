"""Random draws follow the density: scores, normalisation, and Geweke's joint test."""

import numpy as np
import pytest

from tests.contract import graphs, measures
from tests.contract.registry import ENTRIES, KERNELS
from tests.slow_cases import slow_except

DISTRIBUTIONS = [name for name, entry in ENTRIES.items() if entry.is_distribution]
OF_EACH_KERNEL = set(KERNELS) & set(DISTRIBUTIONS)
one_of_each_kernel = pytest.mark.parametrize("name", slow_except(DISTRIBUTIONS, *OF_EACH_KERNEL))

#: In standard errors; seeds are fixed. Of some sixty numbers the largest is expected near 2.5.
FAR = 4.0


@one_of_each_kernel
def test_scores_are_zero_at_the_parameters_of_the_draws(name):
    scores = measures.score_test(name)
    assert scores
    assert max(scores.values()) < FAR, scores


@one_of_each_kernel
def test_densities_of_other_parameters_integrate_to_one(name):
    assert abs(measures.normalisation(name)) < FAR


@pytest.mark.parametrize("name", slow_except(DISTRIBUTIONS, *OF_EACH_KERNEL - {"ODEObserved"}))
def test_steps_of_a_sampler_leave_the_joint_distribution_as_it_was(name):
    result = measures.joint_test(name)
    assert 0.1 < result.pop("accepted") < 0.9
    assert max(map(abs, result.values())) < FAR, result


@pytest.mark.parametrize(
    "name",
    slow_except(["MarginalHMM", "ODEObserved", "NeuralNetObserved", "JaxDist"], "MarginalHMM"),
)
def test_the_joint_test_could_fail(name):
    """With half of the log-density."""
    result = measures.joint_test(name, temper=0.5)
    del result["accepted"]
    assert max(map(abs, result.values())) > FAR, result


@one_of_each_kernel
def test_the_same_seed_gives_the_same_draws(name):
    parameters = graphs.arguments(name, "of units", measures.N_DRAWS)
    first, second, other = (
        graphs.draws(name, parameters, measures.N_DRAWS, seed) for seed in (7, 7, 8)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
