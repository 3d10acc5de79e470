"""Points that a Hamiltonian sampler proposes from the draws it has made."""

from typing import Any

import numpy as np
import pymc as pm

from pymc_jaxdist.posterior.parameter_draws import flat_draws
from pymc_jaxdist.posterior.unconstrained import UnconstrainedPosterior

__all__ = ["proposals_without_density"]

# Of trajectories, if the sampler did not note how many steps it took, and how far.
STEPS, STEP_SIZE = 16, 0.5
# A trajectory that gains so much energy has left the posterior: samplers end it, too.
DIVERGES = 1000.0


def proposals_without_density(
    model: pm.Model, idata: Any, trajectories: int, random_seed: int | None
) -> tuple[list[dict[str, np.ndarray]], int]:
    """Follow Hamiltonian trajectories from draws, to where the log-posterior is ``-inf``.

    Step size, length and scales are those of the sampler as far as it has noted them. Draws whose
    own trajectory diverged come first.

    Parameters
    ----------
    model : pm.Model
    idata : InferenceData or DataTree
        Its posterior and, if there are any, sample_stats.
    trajectories : int
        How many to follow.
    random_seed : int, optional
        Of their directions.

    Returns
    -------
    points : list of dict
        Values of the free variables where trajectories ended without a density.
    n_proposals : int
        How many points were evaluated.
    """
    posterior = UnconstrainedPosterior(model)
    found = flat_draws(model, idata["posterior"])
    rng = np.random.default_rng(random_seed)
    n_draws = len(next(iter(found.values())))
    diverging = _statistic(idata, "diverging", np.zeros(n_draws)).astype(bool)
    # One order for all draws, those that diverged before the others.
    order = rng.permutation(n_draws)
    order = order[np.argsort(~diverging[order], kind="stable")]
    everywhere = posterior.of_draws(
        {name: x[np.sort(order[: 4 * trajectories])] for name, x in found.items()}
    )
    chosen = order[:trajectories]
    starts = posterior.of_draws({name: x[chosen] for name, x in found.items()})
    scale = np.maximum(everywhere.std(axis=0), 1e-10)
    step_size = _statistic(idata, "step_size", np.full(n_draws, STEP_SIZE))[chosen]
    n_steps = _statistic(idata, "n_steps", np.full(n_draws, STEPS))[chosen]
    ends, n_proposals = [], 0
    for start, size, n in zip(starts, step_size, n_steps, strict=True):
        x = start.copy()
        value, gradient = posterior(x)
        momentum = rng.normal(size=x.shape)
        energy = 0.5 * momentum @ momentum - value
        for _ in range(max(int(n), STEPS)):
            momentum = momentum + 0.5 * size * scale * gradient
            x = x + size * scale * momentum
            value, gradient = posterior(x)
            n_proposals += 1
            if not np.isfinite(value):
                ends.append(posterior.as_draw(x))
                break
            momentum = momentum + 0.5 * size * scale * gradient
            if not 0.5 * momentum @ momentum - value - energy < DIVERGES:
                break
    return ends, n_proposals


def _statistic(idata: Any, name: str, default: np.ndarray) -> np.ndarray:
    """Return a statistic of every draw, or a default if the sampler has not noted it."""
    if "sample_stats" not in idata or name not in idata["sample_stats"]:
        return default
    values = np.asarray(idata["sample_stats"][name].values, dtype=float).ravel()
    return values if values.shape == default.shape else default
