"""One mutant after the other, in the functions of a running process.

What Numba has compiled does not change with its source: of such a module each mutant is imported
by a process of its own.
"""

import ast
import os
import resource
import sys
import tempfile
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

from tests.mutation.mutants import mutants

#: The tests that ought to find a mistake in each module, quickest first.
TESTS = {
    "viterbi": ["kernels/test_state_paths.py::test_viterbi_finds_the_most_probable_of_all_paths"],
    "prediction": [
        "kernels/test_state_paths.py::test_predictions_are_those_of_the_forward_algorithm",
        "kernels/test_state_paths.py::test_densities_far_beyond_the_range_of_floats",
    ],
    "smoothing": ["kernels/test_smoothing.py"],
    "scaled": [
        "kernels/test_smoothing.py",
        "kernels/test_marginal_value.py",
        "kernels/test_underflow.py",
        "kernels/test_native_posterior.py",
    ],
    "posterior": [
        "kernels/test_invalid_arguments.py",
        "kernels/test_native_posterior.py",
        "kernels/test_underflow.py",
        "kernels/test_smoothing.py",
    ],
    "forward_backward": [
        "kernels/test_marginal_gradient.py",
        "kernels/test_smoothing.py",
        "kernels/test_marginal_value.py",
        "kernels/test_underflow.py",
        "kernels/test_native_posterior.py",
    ],
    "accurate_sum": ["kernels/test_accurate_sum.py"],
    "joint_sums": ["kernels/test_joint_sums.py"],
    "short_reductions": ["kernels/test_short_reductions.py"],
    "stationary": ["kernels/test_stationary.py"],
    "units": ["kernels/test_units.py"],
    "transition_counts": [
        "kernels/test_state_paths.py::test_nothing_is_known_of_impossible_sequences",
        "kernels/test_state_paths.py::test_pairs_of_all_times_are_as_many_as_transitions",
        "kernels/test_state_paths.py::test_counts_equal_enumeration",
        "kernels/test_state_paths.py::test_pairs_equal_enumeration",
    ],
    "semi_markov_chain": ["kernels/test_semi_markov.py"],
    "semi_markov": [
        "kernels/test_semi_markov.py::test_nothing_is_known_of_impossible_sequences",
        "kernels/test_semi_markov.py::test_invalid_arguments_are_impossible",
        "kernels/test_semi_markov.py::test_a_sequence_without_observations_is_certain",
        "kernels/test_semi_markov.py::test_what_is_known_given_the_whole_sequence",
        "kernels/test_semi_markov.py::test_durations_are_broadcast",
    ],
    "semi_markov_counts": [
        "kernels/test_semi_markov.py::test_nothing_is_known_of_impossible_sequences",
        "kernels/test_semi_markov.py::test_invalid_arguments_are_impossible",
        "kernels/test_semi_markov.py::test_a_sequence_without_observations_is_certain",
        "kernels/test_semi_markov.py::test_what_is_known_given_the_whole_sequence",
        "kernels/test_semi_markov.py::test_durations_are_broadcast",
    ],
    "semi_markov_paths": [
        "kernels/test_semi_markov.py::test_invalid_arguments_are_impossible",
        "kernels/test_semi_markov.py::test_a_sequence_without_observations_is_certain",
        "kernels/test_semi_markov.py::test_there_is_no_path_to_draw_of_impossible_and_invalid_sequences",
        "kernels/test_semi_markov.py::test_nothing_is_predicted_of_invalid_arguments",
        "kernels/test_semi_markov.py::test_drawn_paths_have_the_probabilities_of_all_paths",
        "kernels/test_semi_markov.py::test_what_is_known_as_the_sequence_goes_on",
        "kernels/test_semi_markov.py::test_the_most_probable_of_all_paths",
    ],
    "extended_range": ["kernels/test_extended_range.py"],
    "orientation": ["kernels/test_orientation.py"],
    "extended": [
        "kernels/test_extended.py",
        "kernels/test_underflow.py::test_derivatives_of_the_extended_gradient_equal_those_of_the_scaled",
    ],
    "underflow": ["kernels/test_lost_mass.py", "kernels/test_underflow.py"],
    "native.exponential": ["kernels/test_native_vectors.py"],
    "native.vectors": ["kernels/test_native_vectors.py"],
    "native.lanes": ["kernels/test_native_lanes.py", "kernels/test_native_recursions.py"],
    "native.stretches": [
        "kernels/test_native_stretches.py",
        "kernels/test_native_recursions.py::test_a_few_long_sequences_are_cut",
        "kernels/test_native_recursions.py::test_a_few_long_sequences_with_matrices_of_their_own",
        "kernels/test_native_recursions.py::test_evidence_that_reverses_itself_by_hundreds_of_nats",
        "kernels/test_native_recursions.py::test_impossible_and_invalid_sequences_leave_others_alone",
    ],
    "native.chains": ["kernels/test_native_recursions.py"],
    "native.extended": [
        "kernels/test_native_extended.py",
        "kernels/test_native_recursions.py::test_evidence_that_reverses_itself_by_hundreds_of_nats",
    ],
    "native.stationary": ["kernels/test_native_stationary.py"],
    "native.gradients": ["kernels/test_native_gradients.py"],
    "native.addresses": [
        "kernels/test_native_addresses.py",
        "kernels/test_native_compilation.py",
    ],
    "native.hidden_markov_posterior": ["kernels/test_native_posterior.py"],
    "ode.linear_solve": ["kernels/ode/test_linear_solve.py"],
    "ode.step_size": ["kernels/ode/test_step_size.py"],
    "ode.rows": ["kernels/ode/test_rows.py"],
    "ode.events": ["kernels/ode/test_events.py"],
    "ode.interpolation": ["kernels/ode/test_interpolation.py"],
    "ode.matrix_exponential": ["kernels/ode/test_matrix_exponential.py"],
    "ode.layout": ["kernels/ode/test_layout.py"],
    "ode.tsit5": ["kernels/ode/test_one_step.py"],
    "ode.runge_kutta4": ["kernels/ode/test_one_step.py"],
    "ode.stiff_at_start": ["kernels/ode/test_stiff_at_start.py"],
    "ode.observe": [
        "kernels/ode/test_integrate.py::test_doses_and_their_derivatives_by_everything",
        "kernels/ode/test_solve.py::test_forward_and_reverse_differentiate_the_same_steps",
        "kernels/ode/test_linear_systems.py::test_an_explicit_method_is_as_exact_as_asked",
        "kernels/ode/test_linear_systems.py::test_a_stiff_method_is_as_exact_as_asked",
    ],
    "ode.one_step": [
        "kernels/ode/test_integrate.py::test_doses_and_their_derivatives_by_everything",
        "kernels/ode/test_integrate.py::test_doses_in_reverse",
        "kernels/ode/test_solve.py::test_forward_and_reverse_differentiate_the_same_steps",
    ],
    "ode.batches": [
        "kernels/ode/test_solve.py::test_subjects_side_by_side_and_batches_equal_subjects_alone"
    ],
    "ode.reverse": ["kernels/ode/test_reverse.py"],
    "ode.integrate": ["kernels/ode/test_loop.py", "kernels/ode/test_integrate.py"],
    "ode.solve": ["kernels/ode/test_attempts.py"],
}
#: Examples of each property, and those for the mutants that survive the first few.
FEW, MANY = 8, 60
STEADY = {"derandomize": True, "deadline": None}
MOST_MEMORY = 6 * 2**30


def _own_function(wrapper):
    """Return the function inside what decorators made of it."""
    for name in ("fget", "__wrapped__", "fun"):
        wrapper = getattr(wrapper, name, wrapper)
    return wrapper


def _replace(old, new):
    """Give what has a name in a module, or in a class of it, the code of its new version."""
    if isinstance(new, type):
        for name, member in vars(new).items():
            _replace(vars(old).get(name), member)
    else:
        old, new = _own_function(old), _own_function(new)
        if hasattr(old, "__code__") and hasattr(new, "__code__"):
            old.__code__ = new.__code__


def replace_code(module, tree):
    """Give the functions and methods of a module the code of a changed source."""
    namespace = {}
    exec(compile(tree, module.__file__, "exec"), {**vars(module)}, namespace)
    for name, new in namespace.items():
        _replace(getattr(module, name, None), new)


def is_alone(name):
    """Tell whether each mutant of a module needs a process of its own."""
    return name.startswith("native.")


def change_on_import(name, tree):
    """Let a module be imported as if its source were another."""

    class Loader(SourceFileLoader):
        def get_code(self, fullname):
            return compile(tree, self.path, "exec")

    class Finder(MetaPathFinder):
        def find_spec(self, fullname, path, target=None):
            if fullname != name:
                return None
            spec = PathFinder.find_spec(fullname, path)
            spec.loader = Loader(fullname, spec.origin)
            return spec

    sys.meta_path.insert(0, Finder())


def work(name, numbers, failed, results):
    """Try mutants, and send ``(number, found)`` of each; None is the module as it is.

    Pytest remembers in the directory `failed` which tests found a mistake, and begins with these:
    the next mistake is often in the same line.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    silence = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    sys.stdout = sys.stderr = silence
    path = Path("pymc_jaxdist/kernels", *name.split(".")).with_suffix(".py")
    full_name = f"pymc_jaxdist.kernels.{name}"
    if is_alone(name):
        (number,) = numbers
        if number is not None:
            (mutant,) = mutants(path.read_text(), only=number)
            change_on_import(full_name, mutant.tree)
        with tempfile.TemporaryDirectory() as directory:
            _keep_compiled_code_in(directory)
            results.put((number, _find_mistake(name, number, failed)))
        return
    module, every = import_module(full_name), list(mutants(path.read_text()))
    for number in numbers:
        if number is not None:
            replace_code(module, every[number].tree)
        found = _find_mistake(name, number, failed)
        replace_code(module, ast.parse(path.read_text()))
        results.put((number, found))


def _keep_compiled_code_in(directory):
    """Let Numba find nothing of what it compiled from the module as it is."""
    from numba.core import config

    config.CACHE_DIR = directory


def _forget_tests():
    """Let the tests be imported again: Hypothesis reads the number of examples when they are."""
    for name in [name for name in sys.modules if name.startswith("tests.")]:
        if not name.startswith("tests.mutation"):
            del sys.modules[name]


def _find_mistake(name, number, failed):
    """Tell whether a test of a module fails; of the module as it is, quickly."""
    import jax
    import pytest
    from hypothesis import Phase, settings

    # That an example fails is enough: no time is spent on a simpler one.
    phases = (Phase.explicit, Phase.generate)
    for examples in FEW, MANY:
        settings.register_profile(f"{examples}", max_examples=examples, phases=phases, **STEADY)
    arguments = ["-x", "-q", "--failed-first", "-o", f"cache_dir={failed}"]
    # Hypothesis is there before pytest is, which pytest warns of.
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    tests = [f"tests/{test}" for test in TESTS[name]]
    for examples in (FEW,) if number is None else (FEW, MANY):
        jax.clear_caches()
        _forget_tests()
        # A test without examples would do the same again.
        which = ["-m", "hypothesis"] if examples == MANY else []
        ended = pytest.main([*arguments, *which, f"--hypothesis-profile={examples}", *tests])
        if ended not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return True
    return False
