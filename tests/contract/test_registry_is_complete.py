"""Every public name is a distribution with an entry, a part of one, or known to be neither."""

from pathlib import Path

import pytest
from pytensor.tensor.variable import TensorVariable

import pymc_jaxdist as pmj
from tests.contract.registry import ENTRIES, NO_DISTRIBUTIONS, PARTS

ROOT = Path(__file__).parents[2]
COVERED = {name for entry in ENTRIES.values() for name in entry.covers}


def missing_from_the_contract(public_names):
    return set(public_names) - COVERED - set(PARTS) - NO_DISTRIBUTIONS


def test_every_public_distribution_has_an_entry():
    assert missing_from_the_contract(pmj.__all__) == set()


def test_a_new_distribution_is_noticed():
    assert missing_from_the_contract([*pmj.__all__, "MarginalNothing"]) == {"MarginalNothing"}


def test_nothing_is_listed_that_does_not_exist():
    assert COVERED | set(PARTS) | NO_DISTRIBUTIONS <= set(pmj.__all__)
    assert not COVERED & NO_DISTRIBUTIONS


def returned_by(constructor):
    function = getattr(constructor, "__func__", constructor)  # Python makes it a staticmethod
    return getattr(function, "__annotations__", {}).get("return")


def test_whatever_can_be_registered_in_a_model_has_an_entry():
    """A class whose ``__new__`` returns a variable is a distribution, wherever it is listed."""
    classes = [name for name in pmj.__all__ if isinstance(getattr(pmj, name), type)]
    constructors = {name: vars(getattr(pmj, name)).get("__new__") for name in classes}
    distributions = {
        name
        for name, constructor in constructors.items()
        if constructor is not None
        and returned_by(constructor) in (TensorVariable, "TensorVariable")
    }
    assert {"MarginalHMM", "ODEObserved", "NeuralNetObserved", "JaxDist"} <= distributions
    assert distributions <= COVERED


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_used_by_the_tests_that_are_named(name):
    assert f"{name}(" in (ROOT / PARTS[name]).read_text(encoding="utf-8")
