"""A posterior as a function of one vector without constraints, as samplers see it."""

import numpy as np
import pymc as pm
from pymc.blocking import DictToArrayBijection

__all__ = ["UnconstrainedPosterior"]


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
