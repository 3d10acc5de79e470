"""The arguments of the kernel of a hidden Markov or semi-Markov model, by name."""

import dataclasses
from typing import Any

from pymc_jaxdist.kernels.hidden_markov_log_likelihood import HiddenMarkovLogLikelihood
from pymc_jaxdist.kernels.hidden_semi_markov_log_likelihood import HiddenSemiMarkovLogLikelihood

__all__ = ["Kernel", "argument_names", "in_order", "markov_part", "with_markov_part"]

Kernel = HiddenMarkovLogLikelihood | HiddenSemiMarkovLogLikelihood


def markov_part(kernel: Kernel) -> HiddenMarkovLogLikelihood:
    """Return what a kernel has in common with that of a hidden Markov model.

    Parameters
    ----------
    kernel : HiddenMarkovLogLikelihood or HiddenSemiMarkovLogLikelihood
    """
    return kernel.markov if isinstance(kernel, HiddenSemiMarkovLogLikelihood) else kernel


def with_markov_part(kernel: Kernel, markov: HiddenMarkovLogLikelihood) -> Kernel:
    """Return a kernel with another part in common with that of a hidden Markov model."""
    if isinstance(kernel, HiddenSemiMarkovLogLikelihood):
        return dataclasses.replace(kernel, markov=markov)
    return markov


def argument_names(kernel: Kernel) -> list[str]:
    """Name the arguments of a kernel after the observations."""
    if isinstance(kernel, HiddenSemiMarkovLogLikelihood):
        own = [f"duration {i:04d}" for i in range(kernel.duration.n_parameters)]
        return [*argument_names(kernel.markov), *own]
    names = ["transition_matrix"]
    names += ["initial_probs"] if kernel.initial_probs_given else []
    names += ["lengths"] if kernel.lengths_given else []
    names += ["allowed_states"] if kernel.allowed_states_given else []
    for channel, emission in enumerate(kernel.emissions):
        names += [f"emission {channel} {i:04d}" for i in range(emission.n_parameters)]
    return names


def in_order(parameters: dict[str, Any]) -> dict[str, Any]:
    """Sort parameters as a kernel expects them: emission parameters come last."""
    first = ("transition_matrix", "initial_probs", "lengths", "allowed_states")
    emission = [name for name in parameters if name not in first]
    return {name: parameters[name] for name in (*first, *emission) if name in parameters}
