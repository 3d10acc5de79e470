"""The states of a hidden semi-Markov model after sampling."""

import itertools

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import stats

import pymc_jaxdist as pmj
from tests.reference.hidden_semi_markov import marginals, segmentations, segments_log_likelihood

Y = np.array([[0.1, 4.2, np.nan, 5.3], [5.1, 0.2, 0.1, 0.0]])
MATRIX = np.array([[0.0, 1.0], [1.0, 0.0]])
T = 4


@pytest.fixture(scope="module")
def model():
    with pm.Model(coords={"site": ["a", "b"], "day": [1, 2, 3, 4]}) as model:
        mu = pm.Normal("mu", shape=2)
        further = pm.Gamma("further", 2.0, 1.0, shape=2)
        pmj.MarginalHSMM(
            "y",
            pm.Normal.dist(mu, 1.0),
            MATRIX,
            pm.Poisson.dist(further),
            lengths=[4, 3],
            observed=Y,
            dims=("site", "day"),
        )
    return model


@pytest.fixture(scope="module")
def idata():
    variables = {"mu": [[[0.0, 5.0], [0.5, 4.0]]], "further": [[[0.5, 2.0], [1.0, 0.1]]]}
    draws = {name: (("chain", "draw", f"{name}_k"), values) for name, values in variables.items()}
    return {"posterior": xr.Dataset(draws, coords={"chain": [0], "draw": [0, 1]})}


def test_smoothed_probabilities_are_ratios_of_likelihoods(model, idata):
    """That of state k at t is the likelihood with t confined to k, divided by the whole one."""
    probs = pmj.decode_states(idata, "y", model=model)
    assert probs.dims == ("chain", "draw", "site", "day", "state")
    days = np.arange(T)
    for draw in range(2):
        mu, further = (idata["posterior"][name].values[0, draw] for name in ("mu", "further"))
        frozen = stats.poisson(further[:, None], loc=1)
        durations = frozen.pmf(days + 1), frozen.sf(days)
        for site, length in enumerate([4, 3]):
            y = Y[site, :length]
            ll = np.where(np.isnan(y)[:, None], 0, stats.norm.logpdf(y[:, None], mu, 1.0))
            total = segments_log_likelihood(ll, np.ones(2) / 2, MATRIX, *durations)
            for t in range(length):
                for k in range(2):
                    confined = ll.copy()
                    confined[t, 1 - k] = -np.inf
                    own = segments_log_likelihood(confined, np.ones(2) / 2, MATRIX, *durations)
                    assert_allclose(
                        probs.values[0, draw, site, t, k], np.exp(own - total), atol=1e-12
                    )
    assert np.isnan(probs.values[0, :, 1, 3]).all()


def sequence_of(idata, draw, site):
    """Return (ll, start, matrix, probs, survival) of one site and draw."""
    mu, further = (idata["posterior"][name].values[0, draw] for name in ("mu", "further"))
    frozen = stats.poisson(further[:, None], loc=1)
    y = Y[site, : [4, 3][site]]
    ll = np.where(np.isnan(y)[:, None], 0, stats.norm.logpdf(y[:, None], mu, 1.0))
    return ll, np.ones(2) / 2, MATRIX, frozen.pmf(np.arange(T + 4) + 1), frozen.sf(np.arange(T + 4))


def test_viterbi_paths_are_the_best_of_all_segmentations(model, idata):
    paths = pmj.decode_states(idata, "y", "viterbi", model=model)
    for draw in range(2):
        for site, length in enumerate([4, 3]):
            candidates = segmentations(*sequence_of(idata, draw, site))
            best, log_prob = max(candidates, key=lambda pair: pair[1])
            assert tuple(paths.values[0, draw, site, :length]) == best
            assert_allclose(paths.coords["log_prob"].values[0, draw, site], log_prob, rtol=1e-12)
    assert (paths.values[0, :, 1, 3] == -1).all()


@pytest.mark.slow
def test_sampled_paths_average_to_the_smoothed_probabilities(model, idata):
    one = idata["posterior"].isel(draw=[0] * 2000).assign_coords(draw=np.arange(2000))
    paths = pmj.decode_states({"posterior": one}, "y", "sampled", model=model, random_seed=1)
    smoothed = pmj.decode_states(idata, "y", model=model).values[0, 0]
    inside = ~np.isnan(smoothed[..., 1])
    share = (paths.values[0] == 1).mean(axis=0)
    assert_allclose(share[inside], smoothed[..., 1][inside], atol=0.05)
    # Pairs of states, not only the share of each.
    candidates = list(segmentations(*sequence_of(idata, 0, 0)))
    total = np.logaddexp.reduce([log_p for _, log_p in candidates])
    same = sum(np.exp(log_p - total) for path, log_p in candidates if path[1] == path[2])
    assert_allclose((paths.values[0, :, 0, 1] == paths.values[0, :, 0, 2]).mean(), same, atol=0.05)


def test_filtered_probabilities_are_those_of_shorter_sequences(model, idata):
    """And one-step densities are ratios of the likelihoods of longer and shorter ones."""
    filtered = pmj.decode_states(idata, "y", "filtered", model=model).values
    densities = pmj.one_step_log_predictive(idata, "y", model=model).values
    for draw in range(2):
        for site, length in enumerate([4, 3]):
            ll, *rest = sequence_of(idata, draw, site)
            before = 0.0
            for t in range(length):
                candidates = list(segmentations(ll[: t + 1], *rest))
                total = np.logaddexp.reduce([log_p for _, log_p in candidates])
                share = sum(np.exp(log_p - total) for path, log_p in candidates if path[-1] == 1)
                assert_allclose(filtered[0, draw, site, t, 1], share, atol=1e-12)
                assert_allclose(densities[0, draw, site, t], total - before, atol=1e-11)
                before = total


@pytest.mark.slow
def test_forecasts_know_how_long_the_last_stay_has_been(model, idata):
    one = idata["posterior"].isel(draw=[0] * 2000).assign_coords(draw=np.arange(2000))
    future = pmj.forecast({"posterior": one}, "y", 2, model=model, random_seed=1)
    ll, *rest = sequence_of(idata, 0, 1)
    candidates = list(segmentations(np.vstack([ll, np.zeros((2, 2))]), *rest))
    total = np.logaddexp.reduce([log_p for _, log_p in candidates])
    for h in (1, 2):
        share = sum(np.exp(log_p - total) for path, log_p in candidates if path[2 + h] == 1)
        at = {"site": 1, "step": h - 1}
        assert_allclose(future["state_probs"].isel(at).values[0, :, 1], share, atol=1e-12)
        assert_allclose((future["path"].isel(at) == 1).mean(), share, atol=0.05)


def test_transitions_and_stays_are_those_of_all_segmentations(model, idata):
    pairs = pmj.pairwise_probs(idata, "y", model=model)
    counts = pmj.transition_counts(idata, "y", model=model)
    occupancy = pmj.state_occupancy(idata, "y", model=model)
    assert pairs.dims == ("chain", "draw", "site", "y_step", "state", "to_state")
    assert counts.dims == ("chain", "draw", "site", "state", "to_state")
    for draw in range(2):
        for site, length in enumerate([4, 3]):
            sequence = sequence_of(idata, draw, site)
            _, states, expected = marginals(*sequence)
            at = {"chain": 0, "draw": draw, "site": site}
            assert_allclose(pairs.isel(at)[: length - 1], expected, atol=1e-12)
            assert_allclose(pairs.isel(at)[length - 1 :], 0)
            assert_allclose(counts.isel(at), expected.sum(axis=0), atol=1e-12)
            candidates = list(segmentations(*sequence))
            total = np.logaddexp.reduce([log_p for _, log_p in candidates])
            stays = np.zeros(2)
            for path, log_p in candidates:
                entered = [path[0], *(b for a, b in itertools.pairwise(path) if a != b)]
                np.add.at(stays, entered, np.exp(log_p - total))
            own = occupancy.isel(at)
            assert_allclose(own["fraction"], states.mean(axis=0), atol=1e-12)
            assert_allclose(own["stays"], stays, atol=1e-12)
            assert_allclose(own["mean_duration"], states.sum(axis=0) / stays)


def test_predictions_and_residuals_are_those_of_sequences_without_an_end(model, idata):
    """Probabilities of the next state, and what they make of the next value."""
    predicted = pmj.decode_states(idata, "y", "predicted", model=model).values
    residuals = pmj.pseudo_residuals(idata, "y", model=model).values
    for draw in range(2):
        mu = idata["posterior"]["mu"].values[0, draw]
        for site, length in enumerate([4, 3]):
            ll, *rest = sequence_of(idata, draw, site)
            for t in range(length):
                unseen = np.vstack([ll[:t], np.zeros((1, 2))])
                _, states, _ = marginals(unseen, *rest)
                assert_allclose(predicted[0, draw, site, t], states[-1], atol=1e-12)
                cdf = states[-1] @ stats.norm.cdf(Y[site, t], mu, 1.0)
                expected = stats.norm.ppf(cdf)  # NaN of a missing value
                assert_allclose(residuals[0, draw, site, t], expected, atol=1e-9)
    assert np.isnan(predicted[0, :, 1, 3]).all()
    assert np.isnan(residuals[0, :, 1, 3]).all()


def test_imputations_have_the_mixture_of_the_smoothed_states(model, idata):
    one = idata["posterior"].isel(draw=[0] * 2000).assign_coords(draw=np.arange(2000))
    complete = pmj.impute({"posterior": one}, "y", model=model, random_seed=2).values[0]
    seen = ~np.isnan(Y) & (np.arange(T) < np.array([[4], [3]]))
    assert (complete[:, seen] == Y[seen]).all()
    assert np.isnan(complete[:, 1, 3]).all()
    _, states, _ = marginals(*sequence_of(idata, 0, 0))
    mu = idata["posterior"]["mu"].values[0, 0]
    expected = states[2] @ stats.norm.cdf(3.0, mu, 1.0)
    assert_allclose((complete[:, 0, 2] <= 3.0).mean(), expected, atol=0.05)
    assert_allclose(complete[:, 0, 2].mean(), states[2] @ mu, atol=0.25)
