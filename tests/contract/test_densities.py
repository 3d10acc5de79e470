"""What every distribution promises of its log-density and gradient."""

import pytest

from tests.contract import measures
from tests.contract.registry import ENTRIES, KERNELS
from tests.slow_cases import slow_except

every_entry = pytest.mark.parametrize("name", ENTRIES)
one_of_each_kernel = pytest.mark.parametrize("name", slow_except(ENTRIES, *KERNELS))


@one_of_each_kernel
def test_units_together_are_units_alone(name):
    assert measures.batch_error(name) <= 1e-12


@one_of_each_kernel
def test_shared_parameters_are_repeated_parameters(name):
    assert measures.broadcast_error(name) <= 1e-12


@one_of_each_kernel
def test_the_order_of_units_does_not_matter(name):
    assert measures.permutation_error(name) <= 1e-12


@one_of_each_kernel
def test_gradients_are_central_differences(name):
    assert measures.gradient_error(name) <= 1e-6


@one_of_each_kernel
def test_impossible_values_are_minus_infinity_and_never_nan(name):
    trials = measures.impossible_values(name)
    assert len(trials) >= 12
    assert [label for label, right in trials.items() if not right] == []


@every_entry
def test_impossible_constants_are_refused(name):
    trials = measures.refused_constants(name)
    assert len(trials) >= 2
    assert [label for label, right in trials.items() if not right] == []


@pytest.mark.parametrize("mode", ["C", "Numba", "JAX"])
@pytest.mark.parametrize("name", KERNELS)
def test_modes_agree(name, mode):
    assert measures.mode_error(name, mode) <= 1e-12


@pytest.mark.parametrize("name", ["MarginalHMM", "ODEObserved", "NeuralNetObserved"])
def test_single_precision_is_computed_in_double(name):
    assert measures.single_precision_error(name) <= 1e-12


@every_entry
def test_single_precision_in_jax_mode_is_refused(name):
    assert measures.refuses_single_precision_in_jax_mode(name)
