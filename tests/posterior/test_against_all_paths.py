"""Everything after sampling, of random models, against a list of every path of the states."""

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from tests.posterior.random_models import AUTOREGRESSIVE, HIDDEN_MARKOV, SEMI_MARKOV, problems
from tests.reference import all_paths

pytestmark = pytest.mark.slow

CASES = HIDDEN_MARKOV + SEMI_MARKOV
N_PATHS = 3000
#: Of a test of a thousand: a false alarm once in a hundred thousand runs.
ALPHA = 1e-8

# An example is several sequences, and compiles the model's parameters for each question. Tests of
# what is drawn always see the same examples, so that chance decides nothing.
WITH_A_MEMORY = CASES + AUTOREGRESSIVE
asking = settings(max_examples=15)
drawing = settings(max_examples=12, derandomize=True)


@asking
@given(problems(WITH_A_MEMORY))
def test_probabilities_of_states(problem):
    found = {
        kind: problem.ask(pmj.decode_states, kind).values[0]
        for kind in ("smoothed", "filtered", "predicted")
    }
    for draw, n, chain, ll in problem.sequences():
        end = len(ll)
        for kind, probs in found.items():
            assert np.isnan(probs[draw, n, end:]).all()
            if end:
                expected = {
                    "smoothed": all_paths.state_probs,
                    "filtered": all_paths.filtered_probs,
                    "predicted": all_paths.predicted_probs,
                }[kind](chain, ll)
                assert_allclose(probs[draw, n, :end], expected, atol=1e-11, err_msg=kind)


@asking
@given(problems(WITH_A_MEMORY))
def test_most_probable_paths(problem):
    found = problem.ask(pmj.decode_states, "viterbi")
    for draw, n, _, ll in problem.sequences():
        path = found.values[0, draw, n]
        log_prob = found.coords["log_prob"].values[0, draw, n]
        assert (path[len(ll) :] == -1).all()
        if not len(ll):
            continue
        # The state before the first observation is part of a path of order two.
        before = range(problem.case.states) if problem.case.order == 2 else [None]
        chains = [problem.chain(draw, state) for state in before]
        best = max(chain(ll)[1].max() for chain in chains)
        assert_allclose(log_prob, best, rtol=1e-11, atol=1e-11)
        if best == -np.inf:
            assert (path == -1).all()
        else:
            own = max(all_paths.log_prob_of(chain, ll, path[: len(ll)]) for chain in chains)
            assert_allclose(own, best, rtol=1e-11, atol=1e-11)


@asking
@given(problems(WITH_A_MEMORY))
def test_transitions_and_stays(problem):
    pairs = problem.ask(pmj.pairwise_probs).values[0]
    counts = problem.ask(pmj.transition_counts).values[0]
    occupancy = problem.ask(pmj.state_occupancy)
    for draw, n, chain, ll in problem.sequences():
        at = {"chain": 0, "draw": draw, occupancy["stays"].dims[2]: n}
        fraction, stays, mean = (
            occupancy[name].isel(at) for name in ("fraction", "stays", "mean_duration")
        )
        if not len(ll):
            assert (pairs[draw, n] == 0).all()
            assert (counts[draw, n] == 0).all()
            assert (stays == 0).all()
            assert np.isnan(fraction).all()
            continue
        expected = all_paths.pair_probs(chain, ll)
        probs = all_paths.state_probs(chain, ll)
        expected_stays = all_paths.expected_stays(chain, ll)
        if not np.isnan(probs).any():
            assert (pairs[draw, n, len(ll) - 1 :] == 0).all()
        assert_allclose(pairs[draw, n, : len(ll) - 1], expected, atol=1e-11)
        total = expected.sum(axis=0) if not np.isnan(probs).any() else np.nan
        assert_allclose(counts[draw, n], np.broadcast_to(total, counts[draw, n].shape), atol=1e-11)
        assert_allclose(fraction, probs.mean(axis=0), atol=1e-11)
        assert_allclose(stays, expected_stays, atol=1e-11)
        seen = expected_stays > 1e-9
        assert_allclose(mean[seen], probs.sum(axis=0)[seen] / expected_stays[seen], rtol=1e-8)


@asking
@given(problems(WITH_A_MEMORY))
def test_what_was_expected_of_the_next_observation(problem):
    densities = problem.ask(pmj.one_step_log_predictive).values[0]
    residuals = problem.ask(pmj.pseudo_residuals, random_seed=1).values[0]
    residuals = residuals if residuals.ndim == 4 else residuals[..., None]
    for draw, n, chain, ll in problem.sequences():
        end = len(ll)
        assert np.isnan(densities[draw, n, end:]).all()
        assert np.isnan(residuals[draw, n, end:]).all()
        if not end:
            continue
        expected = all_paths.log_predictive_densities(chain, ll)
        assert_allclose(densities[draw, n, :end], expected, rtol=1e-10, atol=1e-10)
        predicted = all_paths.predicted_probs(chain, ll)
        for d, (frozen, y) in enumerate(
            zip(problem.channels(draw), problem.innovations(n).T, strict=True)
        ):
            upper = np.sum(predicted * frozen.cdf(y[:, None]), axis=1)
            below = 1.0 if frozen.dist.name == "poisson" else 0.0
            lower = np.sum(predicted * frozen.cdf(y[:, None] - below), axis=1)
            quantile = stats.norm.cdf(residuals[draw, n, :end, d])
            assert (np.isnan(quantile) == np.isnan(upper)).all()
            known = ~np.isnan(upper)
            assert (quantile[known] <= upper[known] + 1e-10).all()
            assert (quantile[known] >= lower[known] - 1e-10).all()


def assert_drawn_from(codes, probs):
    """Compare frequencies with probabilities by a G test; what is impossible is never drawn.

    Cells in which few are expected are tested together.
    """
    counts = np.bincount(codes, minlength=len(probs)).astype(float)
    assert (counts[probs == 0] == 0).all()
    expected = len(codes) * probs / probs.sum()
    rare = expected < 20
    if rare.all():
        return
    observed, expected = (np.append(x[~rare], x[rare].sum()) for x in (counts, expected))
    if expected[-1] < 20:  # too few even together: with the rarest of the others
        smallest = np.argmin(expected[:-1])
        for x in observed, expected:
            x[smallest] += x[-1]
        observed, expected = observed[:-1], expected[:-1]
    if len(expected) > 1:
        assert stats.power_divergence(observed, expected, lambda_="log-likelihood").pvalue > ALPHA


def codes_of(paths, drawn):
    """Numbers in a list of paths of those that were drawn."""
    number = {tuple(path): i for i, path in enumerate(paths.tolist())}
    return np.array([number[tuple(path)] for path in drawn.tolist()])


def below_thresholds(problem, n, which, rng):
    """Thresholds of values `(time, channel)`, and P(value <= threshold) given each state."""
    thresholds, probs = [], []
    for _, d in which:
        frozen = problem.channels(0)[d]
        threshold = np.floor(rng.uniform(1, 6)) + 0.5
        thresholds.append(threshold)
        probs.append(np.broadcast_to(frozen.cdf(threshold), problem.case.states))
    return np.array(thresholds), np.array(probs).reshape(-1, problem.case.states)


def assert_values_drawn_from(problem, n, values, which, paths, probs):
    """Compare drawn values `(S, M)` at `(time, channel)` with the mixture over all paths.

    Jointly, whether they are below thresholds; and each by its distribution function.
    """
    rng = np.random.default_rng(problem.seed)
    thresholds, below = below_thresholds(problem, n, which, rng)
    times = [t for t, _ in which]
    patterns = all_paths.probs_of_patterns(paths[:, times], probs, below)
    codes = np.zeros(len(values), dtype=int)
    for m, threshold in enumerate(thresholds):
        codes = 2 * codes + (values[:, m] <= threshold)
    assert_drawn_from(codes, np.where(patterns < 1e-15, 0, patterns))
    for m, (t, d) in enumerate(which):
        weights = np.array([probs @ (paths[:, t] == k) for k in range(problem.case.states)])
        frozen = problem.channels(0)[d]
        upper = weights @ frozen.cdf(values[:, m][:, None]).T
        if frozen.dist.name == "poisson":
            lower = weights @ frozen.cdf(values[:, m][:, None] - 1).T
            upper = rng.uniform(lower, upper)
        assert stats.kstest(upper, "uniform").pvalue > ALPHA


@drawing
@given(problems(CASES, n_draws=1))
def test_drawn_paths(problem):
    many = problem.repeated(N_PATHS)
    drawn = many.ask(pmj.decode_states, "sampled", random_seed=problem.seed).values[0]
    for _, n, chain, ll in problem.sequences():
        assert (drawn[:, n, len(ll) :] == -1).all()
        if not len(ll):
            continue
        paths, probs = all_paths.path_probs(chain, ll)
        if np.isnan(probs).any():
            assert (drawn[:, n] == -1).all()
        else:
            assert_drawn_from(codes_of(paths, drawn[:, n, : len(ll)]), probs)


@drawing
@given(problems(CASES, n_draws=1))
def test_imputed_values(problem):
    many = problem.repeated(N_PATHS)
    complete = many.ask(pmj.impute, random_seed=problem.seed).values[0]
    complete = complete if complete.ndim == 4 else complete[..., None]
    for _, n, chain, ll in problem.sequences():
        own, seen = complete[:, n], problem.values(n)
        assert np.isnan(own[:, len(ll) :]).all()
        if not len(ll):
            continue
        missing = np.isnan(seen)
        assert (own[:, : len(ll)][:, ~missing] == seen[~missing]).all()
        which = np.argwhere(missing).tolist()
        values = own[:, : len(ll)][:, missing]
        paths, probs = all_paths.path_probs(chain, ll)
        if np.isnan(probs).any():
            assert np.isnan(values).all()
        elif which:
            assert_values_drawn_from(problem, n, values, which, paths, probs)


@drawing
@given(problems(CASES, n_draws=1))
def test_forecasts(problem):
    steps = 2
    many = problem.repeated(N_PATHS)
    future = many.ask(pmj.forecast, steps, random_seed=problem.seed)
    observations = future["y"].values[0]
    observations = observations if observations.ndim == 4 else observations[..., None]
    for _, n, chain, ll in problem.sequences():
        longer = all_paths.continued(ll, steps)
        paths, probs = all_paths.path_probs(chain, longer)
        own = future["path"].values[0, :, n]
        if np.isnan(probs).any():
            assert (own == -1).all()
            assert np.isnan(future["state_probs"].values[0, :, n]).all()
            assert np.isnan(observations[:, n]).all()
            continue
        expected = all_paths.state_probs(chain, longer)[len(ll) :]
        assert_allclose(future["state_probs"].values[0, 0, n], expected, atol=1e-11)
        ends, number = np.unique(paths[:, len(ll) :], axis=0, return_inverse=True)
        of_ends = np.bincount(number.ravel(), probs)
        assert_drawn_from(codes_of(ends, own), of_ends)
        which = [(h, d) for h in range(steps) for d in range(observations.shape[-1])]
        values = observations[:, n].reshape(N_PATHS, -1)
        assert_values_drawn_from(problem, n, values, which, ends, of_ends)
