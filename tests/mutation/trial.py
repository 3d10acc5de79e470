"""One mutant after the other, in the functions of a running process."""

import ast
import os
import resource
import sys
from importlib import import_module
from pathlib import Path

from tests.mutation.mutants import mutants

KERNELS = "tests/kernels"
#: The tests that ought to find a mistake in each module, quickest first.
TESTS = {
    "viterbi": ["test_state_paths.py::test_viterbi_finds_the_most_probable_of_all_paths"],
    "prediction": [
        "test_state_paths.py::test_predictions_are_those_of_the_forward_algorithm",
        "test_state_paths.py::test_densities_far_beyond_the_range_of_floats",
    ],
    "smoothing": ["test_smoothing.py"],
    "scaled": [
        "test_smoothing.py",
        "test_marginal_value.py",
        "test_underflow.py",
        "test_native_posterior.py",
    ],
    "posterior": [
        "test_invalid_arguments.py",
        "test_native_posterior.py",
        "test_underflow.py",
        "test_smoothing.py",
    ],
    "forward_backward": [
        "test_marginal_gradient.py",
        "test_smoothing.py",
        "test_marginal_value.py",
        "test_underflow.py",
    ],
    "accurate_sum": ["test_accurate_sum.py"],
    "joint_sums": ["test_joint_sums.py"],
    "stationary": ["test_stationary.py"],
    "ode.linear_solve": ["ode/test_linear_solve.py"],
}
#: Examples of each property, and those for the mutants that survive the first few.
FEW, MANY = 8, 60
STEADY = {"derandomize": True, "deadline": None}
MOST_MEMORY = 6 * 2**30


def replace_code(module, tree):
    """Give the functions of a module the code of a changed source."""
    namespace = {}
    exec(compile(tree, module.__file__, "exec"), {**vars(module)}, namespace)
    for name, function in namespace.items():
        own = getattr(module, name, None)
        inner = getattr(own, "__wrapped__", getattr(own, "fun", own))
        new = getattr(function, "__wrapped__", getattr(function, "fun", function))
        if hasattr(inner, "__code__") and hasattr(new, "__code__"):
            inner.__code__ = new.__code__


def work(name, numbers, results):
    """Try mutants, and send ``(number, found, change)`` of each."""
    import jax
    import pytest
    from hypothesis import settings

    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    silence = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    sys.stdout = sys.stderr = silence
    module = import_module(f"pymc_jaxdist.kernels.{name}")
    source = Path(module.__file__).read_text()
    every = list(mutants(source))
    for examples in FEW, MANY:
        settings.register_profile(f"{examples}", max_examples=examples, **STEADY)
    arguments = ["-x", "-q", "-p", "no:cacheprovider"]
    # Hypothesis is there before pytest is, which pytest warns of.
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    tests = [f"{KERNELS}/{test}" for test in TESTS[name]]
    for number in numbers:
        if number is not None:  # else the module as it is, which must pass
            replace_code(module, every[number].tree)
        found = False
        for examples in (FEW,) if number is None else (FEW, MANY):
            jax.clear_caches()
            profile = f"--hypothesis-profile={examples}"
            found = found or int(pytest.main([*arguments, profile, *tests])) != 0
        replace_code(module, ast.parse(source))
        results.put((number, found))
