"""Compiled log-densities shared between tests: compiling is what tests of a PyMC model pay for."""

from functools import lru_cache

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode

# No C and no Numba: those modes have tests of their own, and cost seconds a function.
FAST = Mode(linker="py", optimizer="fast_compile")


def interpreted():
    """Return a context in which PyMC compiles everything in that mode."""
    return pytensor.config.change_flags(mode=FAST)


def some_draws(model, draws):
    """Sample two chains without compiling a gradient."""
    with model, interpreted():
        return pm.sample(
            draws,
            tune=20,
            chains=2,
            cores=1,
            step=pm.Metropolis(),
            compute_convergence_checks=False,
            progressbar=False,
            random_seed=1,
        )


def wide_constants():
    """Return a context in which PyTensor stores 1.5 and 2 in eight bytes, as our kernels do.

    Else its own log-densities take the logarithms of such numbers in single precision.
    """
    return pytensor.config.change_flags(cast_policy="numpy+floatX")


def evaluate(*graphs, mode=FAST):
    """Compile graphs without inputs and evaluate them."""
    results = pytensor.function([], list(graphs), mode=mode, on_unused_input="ignore")()
    return results[0] if len(graphs) == 1 else results


def logp_of(distribution, value):
    """Log-density of each sequence of an unregistered distribution."""
    return evaluate(pm.logp(distribution, value))


@lru_cache
def function_of(build, *arguments):
    """Compile ``build(*arguments) -> (inputs, outputs)`` once for a test session."""
    inputs, outputs = build(*arguments)
    return pytensor.function(inputs, outputs, mode=FAST, on_unused_input="ignore")


def with_gradients(logp, inputs):
    """Return a log-density and the gradients of its sum."""
    return [logp, *pt.grad(logp.sum(), inputs)]


def tensor(name, shape, dtype="float64"):
    """Return an input of known rank whose lengths of 1 broadcast."""
    return pt.tensor(name, shape=tuple(1 if n == 1 else None for n in shape), dtype=dtype)


def relative_error(value, reference):
    """Return the largest error relative to max(1, |reference|); equal infinities agree."""
    value, reference = np.broadcast_arrays(value, reference)
    same = (value == reference) | (np.isnan(value) & np.isnan(reference))
    with np.errstate(invalid="ignore"):
        error = np.abs(value - reference) / np.maximum(1, np.abs(reference))
    return np.max(np.where(same, 0, error), initial=0.0)
