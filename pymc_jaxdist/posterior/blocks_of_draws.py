"""Functions of the evidence of a hidden Markov model, for many draws of its parameters."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from rich.progress import track

from pymc_jaxdist.kernels import (
    filtered_probs,
    log_predictive_densities,
    pair_probs,
    predicted_probs,
    sample_paths,
    smoothed_probs,
    viterbi,
)
from pymc_jaxdist.kernels.hidden_semi_markov_log_likelihood import HiddenSemiMarkovLogLikelihood
from pymc_jaxdist.kernels.semi_markov import semi_markov_smoothed_probs
from pymc_jaxdist.kernels.semi_markov_counts import (
    semi_markov_expected_times_and_transitions,
    semi_markov_expected_transitions,
    semi_markov_pair_probs,
)
from pymc_jaxdist.kernels.semi_markov_paths import (
    semi_markov_filtered_probs,
    semi_markov_log_predictive_densities,
    semi_markov_predicted_probs,
    semi_markov_sample_paths,
    semi_markov_viterbi,
)
from pymc_jaxdist.kernels.transition_counts import (
    expected_times_and_transitions,
    expected_transitions,
)
from pymc_jaxdist.ops.precision import double_precision
from pymc_jaxdist.posterior.kernel_arguments import Kernel

__all__ = ["evaluate_in_blocks", "tracked"]

#: What a function of the evidence of a Markov chain is for a semi-Markov chain.
SEMI_MARKOV: dict[Callable[..., Any], Callable[..., Any]] = {
    smoothed_probs: semi_markov_smoothed_probs,
    filtered_probs: semi_markov_filtered_probs,
    predicted_probs: semi_markov_predicted_probs,
    log_predictive_densities: semi_markov_log_predictive_densities,
    viterbi: semi_markov_viterbi,
    sample_paths: semi_markov_sample_paths,
    pair_probs: semi_markov_pair_probs,
    expected_transitions: semi_markov_expected_transitions,
    expected_times_and_transitions: semi_markov_expected_times_and_transitions,
}

# Draws are worked on in blocks whose evidence (N, T, K) stays below this many numbers, so that
# a block stays in the processor's cache and memory does not grow with the number of draws.
LARGEST_BLOCK = 2**17
MOST_DRAWS_PER_BLOCK = 250


def evaluate_in_blocks(
    kernel: Kernel,
    function: Callable[..., Any],
    value: np.ndarray,
    parameters: dict[str, np.ndarray],
    *,
    numbers_per_draw: int,
    description: str,
    progressbar: bool,
    seed: np.random.SeedSequence | None = None,
) -> Any:
    """Evaluate a function of the evidence for every draw.

    Parameters
    ----------
    kernel : HiddenMarkovLogLikelihood or HiddenSemiMarkovLogLikelihood
        What makes the evidence of observations and parameters.
    function : callable
        A module-level function of ``(log_likelihoods, initial_probs, transition_matrix,
        lengths)``, and of a random key before them if there is a seed. Returns arrays. For a
        semi-Markov model its counterpart in `SEMI_MARKOV` is evaluated.
    value : (..., T) or (..., T, D) array
        Observations.
    parameters : dict of (S, ...) arrays
        Draws of the arguments of the kernel, in its order.
    numbers_per_draw : int
        Size of the evidence of one draw.
    description : str
        What the progress bar says.
    progressbar : bool
        Whether to show progress, if it takes several steps.
    seed : numpy.random.SeedSequence, optional
        Of the random keys.

    Returns
    -------
    pytree of (S, ...) arrays
    """
    n_draws = len(parameters["transition_matrix"])
    block = int(np.clip(LARGEST_BLOCK // max(numbers_per_draw, 1), 1, MOST_DRAWS_PER_BLOCK))
    block = min(block, n_draws)
    if isinstance(kernel, HiddenSemiMarkovLogLikelihood):
        function = SEMI_MARKOV[function]
    with double_precision():
        keys = None
        if seed is not None:
            key = jax.random.key(int(seed.generate_state(1)[0]))
            keys = jax.random.split(key, n_draws)
        parts = []
        for start in tracked(range(0, n_draws, block), description, progressbar):
            # Every block is as long as the first, so that one compiled function serves all.
            chosen = np.minimum(np.arange(start, start + block), n_draws - 1)
            own = tuple(draws[chosen] for draws in parameters.values())
            own_keys = None if keys is None else keys[chosen]
            result = _compiled(kernel, function)(own_keys, value, own)
            kept = min(block, n_draws - start)
            parts.append(jax.tree.map(lambda x, n=kept: np.asarray(x)[:n], result))
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)


def tracked(blocks: Sequence[int], where: str, progressbar: bool) -> Iterable[int]:
    """Show progress over steps, if it is asked for and there are several."""
    if not progressbar or len(blocks) == 1:
        return blocks
    return track(blocks, description=where, transient=True)


@lru_cache(maxsize=64)
def _compiled(kernel: Kernel, function: Callable[..., Any]) -> Callable[..., Any]:
    def of_one_draw(key: Any, value: jax.Array, parameters: tuple[Any, ...]) -> Any:
        terms = kernel.terms(value, *parameters)
        return function(*terms) if key is None else function(key, *terms)

    return jax.jit(jax.vmap(of_one_draw, in_axes=(0, None, 0)))
