"""Where to start sampling a differential equation: from the best of several searches."""

from typing import Any

import numpy as np
import pymc as pm
from pymc.initial_point import make_initial_point_fn

from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.posterior.unconstrained import UnconstrainedPosterior

__all__ = ["heights_from_default_starts", "ode_initial_values"]

# How many draws from the prior are looked at, and from how many of the best a search begins.
DRAWS, SEARCHES = 200, 8


def ode_initial_values(
    var_name: str, model: pm.Model, max_iterations: int, random_seed: Any
) -> dict[str, np.ndarray]:
    """Search for the largest posterior density from those prior draws that fit best.

    A likelihood of oscillations has a mode for every number of them between two observations.
    From one point a search, or a sampler, ends in whichever is near.
    """
    posterior = UnconstrainedPosterior(model)
    draw = make_initial_point_fn(
        model=model,
        overrides=dict.fromkeys(model.free_RVs, "prior"),
        return_transformed=True,
        jitter_rvs=set(),
    )
    seeds = np.random.SeedSequence(random_seed).generate_state(DRAWS)
    starts = [posterior.as_vector(draw(int(seed))) for seed in seeds]
    starts.append(posterior.as_vector(model.initial_point(random_seed=0)))
    values = np.array([posterior(x)[0] for x in starts])
    order = np.argsort(-np.where(np.isfinite(values), values, -np.inf))
    possible = [starts[i] for i in order[:SEARCHES] if np.isfinite(values[i])]
    if not possible:
        raise ParameterError(
            compose_message(
                f"initial_values of '{var_name}'",
                f"the data are impossible for {DRAWS} draws from the prior.",
                suggestion="pmj.check_ode(model) tells why",
            )
        )
    found = [posterior.climb(x, max_iterations) for x in possible]
    return posterior.as_draw(max(found, key=lambda peak: peak.value).x)


def heights_from_default_starts(
    model: pm.Model, n_starts: int, max_iterations: int, random_seed: Any
) -> np.ndarray:
    """Return the log-posterior ``(n_starts,)`` to which one can climb from where chains begin.

    PyMC begins each chain at the initial point, moved by random numbers.
    """
    posterior = UnconstrainedPosterior(model)
    draw = make_initial_point_fn(
        model=model, return_transformed=True, jitter_rvs=set(model.free_RVs)
    )
    seeds = np.random.SeedSequence(random_seed).generate_state(n_starts)
    starts = [posterior.as_vector(draw(int(seed))) for seed in seeds]
    return np.array([posterior.climb(x, max_iterations).value for x in starts])
