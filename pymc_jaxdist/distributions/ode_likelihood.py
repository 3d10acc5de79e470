"""What is observed of a solution: any PyMC distribution of it, cut off from the model."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.boundary import boundary
from pymc_jaxdist.distributions.emission import EmissionDistribution
from pymc_jaxdist.errors import DistributionError, ParameterError, compose_message
from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.ops import InnerGraph

__all__ = ["CutLikelihood", "Likelihood"]


class Likelihood:
    """PyMC distributions of a solution, one per channel, that hold no variable of the model.

    Attributes
    ----------
    emissions : tuple of EmissionDistribution
        One per channel.
    """

    def __init__(
        self,
        emissions: tuple[EmissionDistribution, ...],
        solution: TensorVariable,
        placeholders: Sequence[Variable],
        linked: Sequence[TensorVariable],
        sources: Sequence[int],
    ) -> None:
        self.emissions = emissions
        self.sources = tuple(sources)
        self._solution = solution
        self._placeholders = list(placeholders)
        self._linked = list(linked)
        self.n_parameters = len(self._placeholders)

    def _identity(self) -> tuple[Any, ...]:
        link = InnerGraph([self._solution, *self._placeholders], self._linked)
        return tuple(self.emissions), self.sources, link

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Likelihood) and self._identity() == other._identity()
        )

    def __hash__(self) -> int:
        return hash(self._identity())

    @property
    def several(self) -> bool:
        """Whether there are several channels, the last dimension of the observations."""
        return len(self.emissions) > 1

    @property
    def event_ndim(self) -> int:
        """1 if one observation is a vector with one log-density, else 0."""
        return 0 if self.several else self.emissions[0].event_ndim

    @property
    def discrete(self) -> bool:
        """Whether all channels are integers."""
        return all(emission.discrete for emission in self.emissions)

    def components_under_logarithms(self, n_components: int) -> set[int]:
        """Return what is seen of the solution whose logarithm the log-density depends on.

        Parameters
        ----------
        n_components : int
            How many numbers are seen at one time, along the last dimension.
        """
        own = self._own_parameters(self._linked, self._placeholders)
        return set().union(
            *(
                emission.components_under_logarithms(p, self._solution, n_components)
                for emission, p in zip(self.emissions, own, strict=True)
            )
        )

    def emission_kernels(
        self, n_dims: int, parameters: Sequence[TensorVariable]
    ) -> tuple[Emission, ...]:
        """Return the densities as parts of a kernel, for observations of ``n_dims`` dimensions."""
        batch_ndim = n_dims - (1 if self.several else self.event_ndim)
        own = self._own_parameters(self._linked, parameters)
        return tuple(
            emission.kernel(batch_ndim, p, per_state=False)
            for emission, p in zip(self.emissions, own, strict=True)
        )

    def link(self, parameters: Sequence[TensorVariable]) -> InnerGraph:
        """Return the function from what is seen of a solution to parameters of the densities."""
        placeholders = [p.type() for p in parameters]
        linked = self._replace(self._solution, placeholders, self._linked)
        return InnerGraph([self._solution, *placeholders], linked)

    def draw(
        self, seen: TensorVariable, parameters: Sequence[TensorVariable], size: Sequence[Any]
    ) -> TensorVariable:
        """Return random observations of a solution as a graph."""
        linked = self._replace(seen, parameters, self._linked)
        own = self._own_parameters(linked, parameters)
        if not self.several:
            n_batch = len(size) - self.event_ndim
            return self.emissions[0].draw(own[0], tuple(size)[:n_batch])
        channels = [
            emission.draw(p, tuple(size)[:-1])
            for emission, p in zip(self.emissions, own, strict=True)
        ]
        return pt.stack([pt.cast(c, "float64") for c in channels], axis=-1)

    def support_point(
        self, seen: TensorVariable, parameters: Sequence[TensorVariable]
    ) -> TensorVariable:
        """Return an observation inside the support."""
        linked = self._replace(seen, parameters, self._linked)
        own = self._own_parameters(linked, parameters)
        points = [
            pt.round(point) if emission.discrete else point
            for emission, p in zip(self.emissions, own, strict=True)
            for point in [emission.support_point(p)]
        ]
        return pt.stack(points, axis=-1) if self.several else points[0]

    def _replace(
        self,
        seen: TensorVariable,
        parameters: Sequence[TensorVariable],
        graphs: Sequence[TensorVariable],
    ) -> list[TensorVariable]:
        replacements = dict(zip(self._placeholders, parameters, strict=True))
        replacements[self._solution] = seen
        return list(clone_replace(list(graphs), replace=replacements, rebuild_strict=False))

    def _own_parameters(
        self, linked: Sequence[TensorVariable], parameters: Sequence[TensorVariable]
    ) -> list[list[TensorVariable]]:
        """Return the parameters of each channel."""
        everything = [linked[s] if s >= 0 else parameters[-1 - s] for s in self.sources]
        own = []
        for emission in self.emissions:
            own.append(everything[: emission.n_parameters])
            everything = everything[emission.n_parameters :]
        return own

    def kernel_parts(self, n_dims: int, parameters: Sequence[TensorVariable]) -> dict[str, Any]:
        """Return what an `ODELogLikelihood` needs to know of the likelihood."""
        return {
            "link": self.link(parameters),
            "emissions": self.emission_kernels(n_dims, parameters),
            "sources": self.sources,
        }


class CutLikelihood(NamedTuple):
    """A likelihood and the variables of the model at which it was cut."""

    likelihood: Likelihood
    parameters: list[TensorVariable]

    @classmethod
    def of(
        cls, where: str, function: Any, seen: TensorVariable, names: tuple[str, ...] | None = None
    ) -> "CutLikelihood":
        """Call what the user passed as ``likelihood`` on a symbolic solution, and cut it off.

        Parameters
        ----------
        where : str
            The distribution, for error messages.
        function : callable
            From what is seen of the solution to an unregistered distribution or a tuple of them.
        seen : TensorVariable
            An input that stands for it.
        names : tuple of str, optional
            Names of the states along the last dimension, which are then passed as a dictionary.
        """
        if not callable(function) or isinstance(function, Variable):
            raise DistributionError(
                compose_message(
                    where,
                    "likelihood must be a function of the solution.",
                    got=f"{type(function).__name__}: {function!r:.60}",
                    suggestion="likelihood=lambda y: pm.Normal.dist(y, sigma)",
                )
            )
        argument: Any = seen
        if names is not None:
            argument = {name: seen[..., i] for i, name in enumerate(names)}
        distributions = _call(where, function, argument)
        if not isinstance(distributions, tuple | list):
            distributions = (distributions,)
        if not distributions:
            raise ParameterError(compose_message(where, "likelihood is empty.", got="()"))
        cuts = [EmissionDistribution.cut(d, where, "likelihood") for d in distributions]
        parameters: dict[Variable, int] = {}
        linked: list[TensorVariable] = []
        sources: list[int] = []
        for _, own in cuts:
            for p in own:
                if seen in ancestors([p]):
                    sources.append(len(linked))
                    linked.append(p)
                else:
                    sources.append(-1 - parameters.setdefault(p, len(parameters)))
        for variable in boundary(linked, [seen]):
            parameters.setdefault(variable, len(parameters))
        placeholders = {p: p.type() for p in parameters}
        if linked:
            linked = list(clone_replace(linked, replace=placeholders, rebuild_strict=False))
        emissions = tuple(emission for emission, _ in cuts)
        likelihood = Likelihood(emissions, seen, list(placeholders.values()), linked, sources)
        return cls(likelihood, list(parameters))


def _call(where: str, function: Callable[..., Any], argument: Any) -> Any:
    try:
        return function(argument)
    except Exception as error:
        shape = getattr(getattr(argument, "type", None), "shape", None)
        raise DistributionError(
            compose_message(
                where,
                "likelihood could not be called with the solution.",
                got=f"{type(error).__name__}: {error}",
                expected=f"a function of a tensor of shape {shape}, (..., times, states)"
                if shape is not None
                else f"a function of a dictionary with {', '.join(argument)}",
                suggestion="likelihood=lambda y: pm.Normal.dist(y, sigma)",
            )
        ) from error
