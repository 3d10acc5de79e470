"""Random observations, given paths of the hidden states."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.any_emission import AnyEmission
from pymc_jaxdist.distributions.autoregressive_distribution import AutoRegressiveDistribution
from pymc_jaxdist.distributions.hidden_markov_model import HiddenMarkovModel
from pymc_jaxdist.distributions.model_variable import model_of
from pymc_jaxdist.errors import DistributionError, compose_message
from pymc_jaxdist.posterior.blocks_of_draws import tracked
from pymc_jaxdist.posterior.conditional_simulation import draw_missing_values
from pymc_jaxdist.posterior.hidden_markov_posterior import HiddenMarkovPosterior

__all__ = ["draw_missing", "draw_observations"]


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
        Observations; NaN where there is no state. An autoregression goes on from the observations
        before.
    """

    def along(states: TensorVariable, size: Sequence[Any]) -> list[TensorVariable]:
        return [
            emission.draw_along(own, states, size, pt.constant(column))
            for emission, own, column in _channels(found, variables)
        ]

    variables = _variables(found)
    drawn = _for_each_draw(found, paths, variables, along, seed, progressbar)
    result = drawn[0] if len(drawn) == 1 else np.stack(drawn, axis=-1)
    result[paths < 0] = np.nan
    return result


def draw_missing(
    found: HiddenMarkovPosterior,
    paths: np.ndarray,
    seed: np.random.SeedSequence,
    *,
    progressbar: bool = False,
) -> np.ndarray:
    """Draw what is missing, given the states of each path and all observations.

    Parameters
    ----------
    found, paths, seed, progressbar
        As for `draw_observations`.

    Returns
    -------
    (S, ..., T) or (S, ..., T, D) array of float
        Draws where observations are missing, of use nowhere else; NaN where there is no state or
        where a missing value has no distribution.

    Raises
    ------
    DistributionError
        If values are missing of an autoregression whose innovations are not normal.
    """

    def along(states: TensorVariable, size: Sequence[Any]) -> list[TensorVariable]:
        parts: list[TensorVariable] = []
        for emission, own, column in _channels(found, variables):
            if not _has_gaps(found, emission, column):
                parts.append(emission.draw_along(own, states, size, pt.constant(column)))
                continue
            assert isinstance(emission, AutoRegressiveDistribution)
            normal = emission.normal_along(own, states, size)
            if normal is None:
                raise DistributionError(
                    compose_message(
                        found.where,
                        "missing values of an autoregression are drawn for normal innovations.",
                        got=str(emission),
                        suggestion="a parameter for each missing value, see docs/"
                        "hidden_markov_models.md, or forecast(...) for those after the last one",
                    )
                )
            parts.extend(normal)
        return parts

    variables = _variables(found)
    remaining = _for_each_draw(found, paths, variables, along, seed, progressbar)
    random = np.random.default_rng(seed)
    drawn = []
    for emission, _, column in _channels(found, variables):
        if not _has_gaps(found, emission, column):
            drawn.append(remaining.pop(0))
            continue
        coefficients, *others = (remaining.pop(0) for _ in range(4))
        complete = np.full(paths.shape, np.nan)
        for sequence in np.ndindex(*found.batch_shape):
            own = (slice(None), *sequence, slice(found.lengths[sequence]))
            parts = [coefficients, *others]
            series = column[own[1:]]
            complete[own] = draw_missing_values(random, series, *(part[own] for part in parts))
        drawn.append(complete)
    result = drawn[0] if len(drawn) == 1 else np.stack(drawn, axis=-1)
    result[paths < 0] = np.nan
    return result


def _variables(found: HiddenMarkovPosterior) -> dict[str, TensorVariable]:
    """Return placeholders for one draw of the parameters of the emissions, by name."""
    return {
        name: pt.tensor(dtype=draws.dtype, shape=draws.shape[1:])
        for name, draws in found.parameters.items()
        if name.startswith("emission")
    }


def _channels(
    found: HiddenMarkovPosterior, variables: dict[str, TensorVariable]
) -> Iterator[tuple[AnyEmission, list[TensorVariable], np.ndarray]]:
    """Yield the emission of each channel, its parameters, and what was observed of it."""
    hmm: HiddenMarkovModel = model_of(found.model.named_vars[found.var_name])
    value = found.value.astype(float)
    remaining = list(variables.values())
    for channel, emission in enumerate(hmm.emissions):
        own, remaining = remaining[: emission.n_parameters], remaining[emission.n_parameters :]
        yield emission, own, value if len(hmm.emissions) == 1 else value[..., channel]


def _has_gaps(found: HiddenMarkovPosterior, emission: AnyEmission, column: np.ndarray) -> bool:
    """Tell whether values are missing of an autoregression, before the ends of the sequences."""
    if not isinstance(emission, AutoRegressiveDistribution):
        return False
    inside = np.arange(found.n_times) < found.lengths[..., None]
    return bool((np.isnan(column) & inside).any())


def _for_each_draw(
    found: HiddenMarkovPosterior,
    paths: np.ndarray,
    variables: dict[str, TensorVariable],
    along: Callable[[TensorVariable, Sequence[Any]], list[TensorVariable]],
    seed: np.random.SeedSequence,
    progressbar: bool,
) -> list[np.ndarray]:
    """Evaluate functions of the paths and the parameters of the emissions for every draw."""
    states = pt.tensor(dtype="int64", shape=paths.shape[1:])
    graphs = along(states, (*paths.shape[1:], found.n_remembered_states))
    evaluate = pm.pytensorf.compile(
        [*variables.values(), states],
        graphs,
        random_seed=int(seed.generate_state(1)[0]),
        mode="FAST_COMPILE",
        on_unused_input="ignore",
    )
    visited = np.maximum(paths, 0)
    draws = [found.parameters[name] for name in variables]
    steps = tracked(range(len(paths)), f"{found.where}: observations", progressbar)
    rows = [evaluate(*(own[s] for own in draws), visited[s]) for s in steps]
    return [np.stack(column).astype(float) for column in zip(*rows, strict=True)]
