"""Random small models with posterior draws, and every path that their states may take.

A `Case` is what has to be compiled: the sizes, the emissions, and whether stays have durations of
their own. Everything else is drawn: parameters, structural zeros, observations and the gaps in
them, lengths.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pymc as pm
import xarray as xr
from hypothesis import strategies as st
from scipy import stats

import pymc_jaxdist as pmj
from tests.reference import all_paths

N = 4  # sequences
MOST_STEPS = 2  # ahead


class Channel(NamedTuple):
    """An emission whose states have levels between 0 and 6, in PyMC and in SciPy.

    SciPy's distribution is that of the difference to `slope` times the value before.
    """

    make: Callable
    frozen: Callable
    slope: float = 0.0


CHANNELS = {
    "normal": Channel(lambda x: pm.Normal.dist(x, 1.5), lambda x: stats.norm(x, 1.5)),
    "poisson": Channel(lambda x: pm.Poisson.dist(x + 0.1), lambda x: stats.poisson(x + 0.1)),
    # Makes observations impossible in some states, and sometimes whole sequences.
    "uniform": Channel(lambda x: pm.Uniform.dist(x, x + 3.0), lambda x: stats.uniform(x, 3.0)),
    "autoregressive": Channel(
        lambda x: pmj.AutoRegressive(pm.Normal.dist(x, 1.5), [0.5]),
        lambda x: stats.norm(x, 1.5),
        slope=0.5,
    ),
}


class Case(NamedTuple):
    """What is compiled."""

    channels: tuple[str, ...]
    states: int
    times: int
    longest: int | None = None  # stay, of a semi-Markov model
    varying: bool = False  # the matrix of a transition is one of two
    order: int = 1


HIDDEN_MARKOV = (
    Case(("normal",), 3, 5),
    Case(("uniform",), 3, 4, varying=True),
    Case(("normal", "poisson"), 4, 4),
    Case(("poisson",), 2, 6),
    Case(("normal",), 2, 5, order=2),
)
#: How its values are drawn has tests of its own.
AUTOREGRESSIVE = (Case(("autoregressive",), 3, 5),)
SEMI_MARKOV = (
    Case(("uniform",), 2, 6, longest=7),
    Case(("normal", "poisson"), 3, 5, longest=3),
)


@lru_cache
def model_of(case):
    """A model whose parameters are all free, so that its posterior can be anything."""
    states = case.states
    with pm.Model() as model:
        levels = [pm.Normal(f"level_{d}", shape=states) for d in range(len(case.channels))]
        emission = tuple(CHANNELS[c].make(x) for c, x in zip(case.channels, levels, strict=True))
        emission = emission if len(emission) > 1 else emission[0]
        start = pm.Dirichlet("start", np.ones(states**case.order))
        matrix = pm.Dirichlet("matrix", np.ones((2, *[states] * (case.order + 1))))
        matrix = matrix[pm.Data("which", [0] * (case.times - 1))] if case.varying else matrix[0]
        shape = (N, case.times) if len(case.channels) == 1 else (N, case.times, len(case.channels))
        keywords = {"lengths": [case.times] * N, "observed": np.ones(shape)}
        if case.longest:
            stay = pm.Dirichlet("stay", np.ones(case.longest), shape=(states, case.longest))
            durations = pm.Categorical.dist(p=stay)
            pmj.MarginalHSMM("y", emission, matrix, durations, start, **keywords)
        else:
            start = start.reshape([states] * case.order)
            pmj.MarginalHMM("y", emission, matrix, start, order=case.order, **keywords)
    return model


class Problem(NamedTuple):
    """A model, draws of its parameters, and other sequences that it is asked about."""

    case: Case
    parameters: dict
    observed: np.ndarray
    lengths: np.ndarray
    which: np.ndarray
    seed: int

    def repeated(self, times):
        """The first draw, again and again: what differs is what is drawn afterwards."""
        one = {name: np.repeat(x[:1], times, axis=0) for name, x in self.parameters.items()}
        return self._replace(parameters=one)

    def ask(self, function, *arguments, **keywords):
        """Call a function of the package about the sequences."""
        steps = arguments[0] if function is pmj.forecast else 0
        if self.case.varying:
            keywords["data"] = {"which": self.which[: self.case.times - 1 + steps]}
        draws = {
            name: (("chain", "draw", *(f"{name}_{i}" for i in range(x.ndim - 1))), x[None])
            for name, x in self.parameters.items()
        }
        n_draws = len(self.parameters["start"])
        posterior = xr.Dataset(draws, coords={"chain": [0], "draw": np.arange(n_draws)})
        return function(
            {"posterior": posterior},
            "y",
            *arguments,
            model=model_of(self.case),
            observed=self.observed,
            lengths=self.lengths,
            progressbar=False,
            **keywords,
        )

    def channels(self, draw):
        """SciPy distributions of each channel for every state."""
        return [
            CHANNELS[c].frozen(self.parameters[f"level_{d}"][draw])
            for d, c in enumerate(self.case.channels)
        ]

    def values(self, n):
        """Observations (T, D) of a sequence, padding cut off."""
        value = self.observed if len(self.case.channels) > 1 else self.observed[..., None]
        return value[n, : self.lengths[n]]

    def innovations(self, n):
        """What the distributions of the channels are distributions of, (T, D)."""
        values = self.values(n)
        slopes = np.array([CHANNELS[c].slope for c in self.case.channels])
        before = np.concatenate([np.full((1, len(slopes)), np.nan), values[:-1]])[: len(values)]
        return values - np.where(slopes == 0, 0.0, slopes * before)

    def evidence(self, draw, n):
        """Log-densities (T, K): each channel that is there, given the state."""
        ll = np.zeros((self.lengths[n], self.case.states))
        for frozen, column in zip(self.channels(draw), self.innovations(n).T, strict=True):
            density = frozen.logpmf if frozen.dist.name == "poisson" else frozen.logpdf
            with np.errstate(divide="ignore"):
                ll += np.where(np.isnan(column)[:, None], 0, density(column[:, None]))
        return ll

    def chain(self, draw, before=None):
        """Every path of the states, as a function of the evidence.

        Of a chain of order two, `before` may be the state before the first observation.
        """
        start, matrix = (self.parameters[name][draw] for name in ("start", "matrix"))
        if self.case.order == 2:
            start = start.reshape(self.case.states, self.case.states)
            if before is not None:
                start = np.where(np.arange(self.case.states)[:, None] == before, start, 0)
            return all_paths.order_two_chain(start, matrix[0])
        if not self.case.longest:
            own = matrix[self.which] if self.case.varying else matrix[0]
            return all_paths.markov_chain(start, own)
        between = matrix[0] * (1 - np.eye(self.case.states))
        between /= between.sum(axis=1, keepdims=True)
        stay = self.parameters["stay"][draw]
        survival = stay[:, ::-1].cumsum(axis=1)[:, ::-1]
        wider = ((0, 0), (0, 2 * self.case.times))  # longer stays are impossible
        return all_paths.semi_markov_chain(
            start, between, np.pad(stay, wider), np.pad(survival, wider)
        )

    def sequences(self):
        """Yield the draw, the number of the sequence, its paths and its evidence."""
        for draw in range(len(self.parameters["start"])):
            for n in range(N):
                yield draw, n, self.chain(draw), self.evidence(draw, n)


def _thinned(rng, shape, zeros):
    """Draw probabilities of which some are zero; the last entry of a row never is."""
    probs = rng.dirichlet(np.ones(shape[-1]), size=shape[:-1]) + 1e-3
    kept = rng.random(shape) >= zeros
    kept[..., -1] = True
    return probs * kept / (probs * kept).sum(axis=-1, keepdims=True)


@st.composite
def problems(draw, cases, n_draws=2):
    """Draw a `Problem`."""
    case = draw(st.sampled_from(cases))
    zeros = draw(st.sampled_from([0.0, 0.3]))
    gaps = draw(st.sampled_from([0.0, 0.3, 1.0]))
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    states = case.states
    parameters = {
        f"level_{d}": rng.uniform(0, 6, size=(n_draws, states)) for d in range(len(case.channels))
    }
    parameters["start"] = _thinned(rng, (n_draws, states**case.order), zeros)
    matrix = _thinned(rng, (n_draws, 2, *[states] * (case.order + 1)), zeros)
    if case.longest:
        # A state is followed by another: the last entry of the last row is its own.
        matrix[..., -1, 0] += 0.5
        parameters["stay"] = _thinned(rng, (n_draws, states, case.longest), zeros)
    parameters["matrix"] = matrix / matrix.sum(axis=-1, keepdims=True)
    value = rng.uniform(0, 8, size=(N, case.times, len(case.channels)))
    for d, channel in enumerate(case.channels):
        if channel == "poisson":
            value[..., d] = np.floor(value[..., d])
    value[rng.random(value.shape) < gaps] = np.nan
    value = value if len(case.channels) > 1 else value[..., 0]
    lengths = rng.integers(0, case.times + 1, size=N)
    which = rng.integers(2, size=case.times - 1 + MOST_STEPS)
    return Problem(case, parameters, value, lengths, which, seed)
