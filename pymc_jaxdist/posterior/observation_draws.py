"""Random observations, given paths of the hidden states."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pymc_jaxdist.distributions.hidden_markov_model import HiddenMarkovModel
from pymc_jaxdist.distributions.unpickled import remembered
from pymc_jaxdist.posterior.blocks_of_draws import tracked
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior

__all__ = ["draw_observations"]


def draw_observations(
    found: HiddenMarkovPosterior,
    paths: np.ndarray,
    seed: np.random.SeedSequence,
    *,
    progressbar: bool = False,
) -> np.ndarray:
    """Draw what the states of each path emit.

    Parameters
    ----------
    found : HiddenMarkovPosterior
        With the parameters of the emissions.
    paths : (S, ..., T) array of int
        A path for each draw of the parameters; -1 where there is none.
    seed : numpy.random.SeedSequence
        Of the draws.
    progressbar : bool
        Whether to show progress when there is much to do.

    Returns
    -------
    (S, ..., T) or (S, ..., T, D) array of float
        Observations; NaN where there is no state.
    """
    hmm: HiddenMarkovModel = remembered(found.model.named_vars[found.var_name])
    emission_draws = [v for k, v in found.parameters.items() if k.startswith("emission")]
    variables = [pt.tensor(dtype=v.dtype, shape=v.shape[1:]) for v in emission_draws]
    states = pt.tensor(dtype="int64", shape=paths.shape[1:])
    remaining: list[Any] = list(variables)
    channels = []
    size = (*paths.shape[1:], found.n_remembered_states)
    for channel, emission in enumerate(hmm.emissions):
        own, remaining = remaining[: emission.n_parameters], remaining[emission.n_parameters :]
        column = found.value if len(hmm.emissions) == 1 else found.value[..., channel]
        given = pt.constant(column.astype(float))
        channels.append(emission.draw_along(own, states, size, given))
    observations = channels[0] if len(channels) == 1 else pt.stack(channels, axis=-1)
    draw = pm.pytensorf.compile(
        [*variables, states],
        observations,
        random_seed=int(seed.generate_state(1)[0]),
        mode="FAST_COMPILE",
        on_unused_input="ignore",
    )
    visited = np.maximum(paths, 0)
    steps = tracked(range(len(paths)), f"{found.where}: observations", progressbar)
    drawn = [draw(*(v[s] for v in emission_draws), visited[s]) for s in steps]
    result = np.stack(drawn).astype(float)
    result[paths < 0] = np.nan
    return result
