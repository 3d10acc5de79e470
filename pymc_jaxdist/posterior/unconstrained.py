"""A posterior as a function of one vector without constraints, as samplers see it."""

from typing import NamedTuple

import numpy as np
import pymc as pm
from pymc.blocking import DictToArrayBijection

__all__ = ["UnconstrainedPosterior"]


# What a search takes for the negative log-posterior where there is none.
IMPOSSIBLE = 1e100


class Peak(NamedTuple):
    """Where a search ends, and the log-posterior there."""

    x: np.ndarray
    value: float


class UnconstrainedPosterior:
    """The log-posterior of a model as a function of one vector without constraints."""

    def __init__(self, model: pm.Model) -> None:
        self.model = model
        self._variables = model.continuous_value_vars
        self._function = model.logp_dlogp_function(ravel_inputs=True, mode="FAST_COMPILE")
        start = model.initial_point(random_seed=0)
        self._function.set_extra_values(start)
        self._layout = DictToArrayBijection.map({v.name: start[v.name] for v in self._variables})
        self._to_draw = pm.pytensorf.compile(
            self._variables,
            model.replace_rvs_by_values(model.free_RVs),
            on_unused_input="ignore",
            mode="FAST_COMPILE",
        )

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log-posterior and its gradient."""
        value, gradient = self._function(x)
        return float(value), np.asarray(gradient)

    def climb(self, x: np.ndarray, max_iterations: int) -> "Peak":
        """Search for the largest log-posterior near a vector; ``-inf`` where it has none."""
        from scipy.optimize import minimize

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self(x)
            if not (np.isfinite(value) and np.isfinite(gradient).all()):
                return IMPOSSIBLE, np.zeros_like(x)  # the line search turns back
            return -value, -gradient

        options = {"maxiter": max_iterations}
        found = minimize(objective, x, jac=True, method="L-BFGS-B", options=options)
        return Peak(found.x, -float(found.fun) if found.fun < IMPOSSIBLE else -np.inf)

    def as_point(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the values of the unconstrained variables."""
        raveled = self._layout._replace(data=x)
        return DictToArrayBijection.rmap(raveled)

    def as_vector(self, point: dict[str, np.ndarray]) -> np.ndarray:
        """Return a vector of the values of the unconstrained variables."""
        return DictToArrayBijection.map({v.name: point[v.name] for v in self._variables}).data

    def as_draw(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the values of the free variables."""
        point = self.as_point(x)
        values = self._to_draw(*(point[v.name] for v in self._variables))
        return {rv.name: np.asarray(v) for rv, v in zip(self.model.free_RVs, values, strict=True)}

    def of_draws(self, draws: dict[str, np.ndarray]) -> np.ndarray:
        """Return the vectors ``(S, d)`` of draws ``(S, ...)`` of the free variables."""
        model = self.model
        outputs = []
        for value in self._variables:
            rv = model.values_to_rvs[value]
            transform = model.rvs_to_transforms[rv]
            outputs.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))
        function = pm.pytensorf.compile(
            model.free_RVs, outputs, on_unused_input="ignore", mode="FAST_COMPILE"
        )
        names = [rv.name for rv in model.free_RVs]
        n_draws = len(draws[names[0]])
        rows = []
        for s in range(n_draws):
            values = function(*(draws[name][s].astype(model[name].dtype) for name in names))
            rows.append(np.concatenate([np.ravel(v) for v in values]))
        return np.array(rows)
