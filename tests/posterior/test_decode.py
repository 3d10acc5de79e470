"""States decoded for every posterior draw."""

import numpy as np
import pymc as pm
import pytest
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ParameterError, ShapeError
from tests.posterior.two_sites import DRAWS, STATES, Y, evidence, parameters_of, sequences
from tests.reference import hidden_markov as reference


@pytest.mark.parametrize("kind", ["smoothed", "filtered"])
def test_probabilities_are_those_of_the_forward_backward_algorithm(model, idata, kind):
    probs = pmj.decode_states(idata, "y", kind, model=model)
    assert probs.name == f"y_{kind}_probs"
    assert probs.dims == ("chain", "draw", "site", "day", "state")
    assert list(probs.coords["state"].values) == STATES
    compute = {"smoothed": reference.smoothed_probs, "filtered": reference.filtered_probs}[kind]
    for chain, draw in DRAWS:
        for site, length, sequence in sequences(idata, chain, draw):
            found = probs.values[chain, draw, site, :length]
            assert_allclose(found, compute(*sequence), atol=1e-12)
    assert np.isnan(probs.values[:, :, 1, 3]).all()


def test_predicted_probabilities_are_one_step_behind_the_filter(model, idata):
    filtered = pmj.decode_states(idata, "y", "filtered", model=model).values
    predicted = pmj.decode_states(idata, "y", "predicted", model=model).values
    matrix = idata["posterior"]["P"].values[:, :, None]
    assert_allclose(predicted[:, :, :, 1:3], filtered[:, :, :, :2] @ matrix, atol=1e-14)


def test_viterbi_paths_are_the_best_of_all(model, idata):
    paths = pmj.decode_states(idata, "y", "viterbi", model=model)
    assert paths.dims == ("chain", "draw", "site", "day")
    assert paths.coords["log_prob"].dims == ("chain", "draw", "site")
    for chain, draw in DRAWS:
        for site, length, sequence in sequences(idata, chain, draw):
            best = max(reference.enumerate_paths(*sequence), key=lambda pair: pair[1])
            assert tuple(paths.values[chain, draw, site, :length]) == best[0]
            assert_allclose(paths.coords["log_prob"].values[chain, draw, site], best[1])
    assert (paths.values[:, :, 1, 3] == -1).all()


def test_sampled_paths_average_to_the_smoothed_probabilities(model, idata):
    """The same draw of the parameters, repeated, so that only the paths differ."""
    one = idata["posterior"].isel(chain=[0], draw=[0] * 2000).assign_coords(draw=np.arange(2000))
    paths = pmj.decode_states({"posterior": one}, "y", "sampled", model=model, random_seed=1)
    smoothed = pmj.decode_states(idata, "y", model=model).values[0, 0]
    share = (paths.values[0] == 1).mean(axis=0)
    inside = ~np.isnan(smoothed[..., 1])
    assert_allclose(share[inside], smoothed[..., 1][inside], atol=0.05)
    again = pmj.decode_states({"posterior": one}, "y", "sampled", model=model, random_seed=1)
    assert (again == paths).all()


def test_other_sequences_can_be_decoded(model, idata):
    new = np.array([[3.0, 2.9, 0.1]])
    probs = pmj.decode_states(idata, "y", model=model, observed=new)
    assert probs.dims == ("chain", "draw", "site", "day", "state")
    assert "site" not in probs.coords
    mu, start, matrix = parameters_of(idata, 1, 2)
    expected = reference.smoothed_probs(evidence(new[0], mu), start, matrix)
    assert_allclose(probs.values[1, 2, 0], expected, atol=1e-12)
    ragged = pmj.decode_states(idata, "y", model=model, observed=new, lengths=[2])
    expected = reference.smoothed_probs(evidence(new[0, :2], mu), start, matrix)
    assert_allclose(ragged.values[1, 2, 0, :2], expected, atol=1e-12)


def test_expected_transitions_and_stays(model, idata):
    counts = pmj.transition_counts(idata, "y", model=model)
    pairs = pmj.pairwise_probs(idata, "y", model=model)
    occupancy = pmj.state_occupancy(idata, "y", model=model)
    assert counts.dims == ("chain", "draw", "site", "state", "to")
    assert pairs.dims == ("chain", "draw", "site", "y_step", "state", "to")
    for chain, draw in DRAWS:
        for site, length, sequence in sequences(idata, chain, draw):
            _, times, transitions = reference.brute_force(*sequence)
            total = transitions.sum(axis=0)
            at = {"chain": chain, "draw": draw, "site": site}
            assert_allclose(pairs.isel(at).values[: length - 1], transitions, atol=1e-12)
            assert_allclose(counts.isel(at), total, atol=1e-12)
            own = occupancy.isel(at)
            assert_allclose(own["fraction"], times.mean(axis=0), atol=1e-12)
            stays = times.sum(axis=0) - np.diag(total)
            assert_allclose(own["stays"], stays, atol=1e-12)
            assert_allclose(own["mean_duration"], times.sum(axis=0) / stays)


def test_the_model_in_context_is_the_default(model, idata):
    with model:
        assert pmj.decode_states(idata, "y").sizes["draw"] == 5


@pytest.mark.parametrize("name", ["z", "mu", "nothing"])
def test_other_variables_are_refused(model, idata, name):
    with pytest.raises(
        ParameterError, match=f"not an observed MarginalHMM[\\s\\S]*'{name}'[\\s\\S]*one of 'y'"
    ):
        pmj.decode_states(idata, name, model=model)


def test_a_posterior_without_a_parameter_is_refused(model, idata):
    partial = {"posterior": idata["posterior"].drop_vars("P")}
    with pytest.raises(ParameterError, match="no draws of P"):
        pmj.decode_states(partial, "y", model=model)


def test_an_unknown_kind_is_refused(model, idata):
    with pytest.raises(ParameterError, match="'smoothed' or 'filtered' or 'predicted'"):
        pmj.decode_states(idata, "y", "smooth", model=model)


def test_other_sequences_that_do_not_fit_are_refused(model, idata):
    with pytest.raises(ShapeError, match=r"do not fit[\s\S]*observations \(2, 4\)"):
        pmj.decode_states(idata, "y", model=model, observed=Y, lengths=np.ones((3, 3), int))


def test_data_that_are_not_there_are_refused(model, idata):
    with pytest.raises(ParameterError, match=r"made by pm\.Data"):
        pmj.decode_states(idata, "y", model=model, data={"x": [1.0]})


def test_many_draws_are_decoded_block_by_block(model, idata, monkeypatch):
    whole = pmj.decode_states(idata, "y", model=model)
    monkeypatch.setattr("pymc_jaxdist.posterior.blocks_of_draws.MOST_DRAWS_PER_BLOCK", 4)
    assert_allclose(pmj.decode_states(idata, "y", model=model), whole, rtol=1e-14)


def test_progress_is_shown_over_blocks_of_draws(model, idata, monkeypatch):
    shown = []

    def track(blocks, description, **_):
        shown.append((description, len(blocks)))
        return blocks

    monkeypatch.setattr("pymc_jaxdist.posterior.blocks_of_draws.track", track)
    pmj.decode_states(idata, "y", model=model)
    assert not shown  # a single block
    monkeypatch.setattr("pymc_jaxdist.posterior.blocks_of_draws.MOST_DRAWS_PER_BLOCK", 4)
    pmj.decode_states(idata, "y", model=model, progressbar=False)
    assert not shown
    pmj.decode_states(idata, "y", model=model)
    assert shown == [("decode_states of 'y'", 3)]


def test_a_minibatch_is_refused(idata):
    with pm.Model() as minibatched:
        mu = pm.Normal("mu", shape=2)
        batch = pm.Minibatch(np.zeros((9, 4)), batch_size=2)
        pmj.MarginalHMM(
            "y", pm.Normal.dist(mu, 1.0), np.eye(2), "uniform", observed=batch, total_size=9
        )
    with pytest.raises(ParameterError, match="a random choice of sequences"):
        pmj.decode_states(idata, "y", model=minibatched)
