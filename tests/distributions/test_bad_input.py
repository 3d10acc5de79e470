"""Every mistake a modeller can make before sampling is named, with what to do instead."""

import numpy as np
import pymc as pm
import pytest

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import DataError, DistributionError, ParameterError, ShapeError
from tests.distributions.compiled import FAST, logp_of

MATRIX = np.array([[0.9, 0.1], [0.2, 0.8]])
Y = np.zeros((4, 6))


def normal(mu=(0.0, 3.0), sigma=1.0):
    return pm.Normal.dist(np.array(mu), sigma)


def poisson():
    return pm.Poisson.dist([1.0, 4.0])


# Each entry: arguments that differ from a correct call, the error, what its message must say.
MISTAKES = {
    "a row does not sum to 1": (
        {"transition_matrix": [[0.9, 0.2], [0.2, 0.8]]},
        ParameterError,
        r"each row of transition_matrix must sum to 1[\s\S]*got\s+1\.1 for row \(0,\)",
    ),
    "columns sum to 1 instead of rows": (
        {"transition_matrix": [[0.9, 0.2], [0.1, 0.8]]},
        ParameterError,
        "each row of transition_matrix must sum to 1",
    ),
    "a negative probability": (
        {"transition_matrix": [[1.1, -0.1], [0.2, 0.8]]},
        ParameterError,
        r"must not be negative[\s\S]*-0\.1 at index \(0, 1\)",
    ),
    "a NaN probability": (
        {"transition_matrix": [[np.nan, 0.1], [0.2, 0.8]]},
        ParameterError,
        "transition_matrix must be finite",
    ),
    "an infinite probability": (
        {"transition_matrix": [[np.inf, 0.1], [0.2, 0.8]]},
        ParameterError,
        "transition_matrix must be finite",
    ),
    "a matrix that is not square": (
        {"transition_matrix": np.full((3, 2), 0.5)},
        ShapeError,
        r"must have shape \(\.\.\., K, K\)[\s\S]*\(3, 2\)",
    ),
    "a vector for a matrix": (
        {"transition_matrix": [0.5, 0.5]},
        ShapeError,
        r"must have shape \(\.\.\., K, K\)",
    ),
    "no states": (
        {"transition_matrix": np.zeros((0, 0))},
        ShapeError,
        r"must have shape \(\.\.\., K, K\)",
    ),
    "a stack of matrices of the wrong length": (
        {"transition_matrix": np.stack([MATRIX] * 6), "initial_probs": "uniform"},
        ShapeError,
        r"5 or 1 on axis -3, because T = 6",
    ),
    "one matrix per sequence on the axis of time": (
        {"transition_matrix": np.stack([MATRIX] * 4), "initial_probs": "uniform"},
        ShapeError,
        r"transition_matrix\[:, None\]",
    ),
    "initial probabilities of another K": (
        {"initial_probs": [0.2, 0.3, 0.5]},
        ShapeError,
        r"same number of states[\s\S]*K = 2, because transition_matrix",
    ),
    "initial probabilities that do not sum to 1": (
        {"initial_probs": [0.5, 0.6]},
        ParameterError,
        "each vector of initial_probs must sum to 1",
    ),
    "negative initial probabilities": (
        {"initial_probs": [-0.5, 1.5]},
        ParameterError,
        "initial_probs must not be negative",
    ),
    "a number for initial probabilities": (
        {"initial_probs": 0.5},
        ShapeError,
        r"initial_probs must have shape \(\.\.\., K\)",
    ),
    "an unknown choice of initial probabilities": (
        {"initial_probs": "equilibrium"},
        ParameterError,
        r"'equilibrium'[\s\S]*\"stationary\", \"uniform\"",
    ),
    "a stationary distribution of a matrix that varies": (
        {"transition_matrix": np.stack([MATRIX] * 5)},
        ParameterError,
        "varies in time has no stationary distribution",
    ),
    "emission parameters for another K": (
        {"emission": lambda: normal((0.0, 1.0, 2.0))},
        ShapeError,
        r"the last batch dimension of emission must be the states[\s\S]*K = 2",
    ),
    "emission parameters for another T": (
        {"emission": lambda: normal(np.zeros((5, 2)))},
        ShapeError,
        r"must be the times[\s\S]*6 or 1 on axis -2, because T = 6",
    ),
    "emission parameters for other sequences": (
        {"emission": lambda: normal(np.zeros((3, 1, 2)))},
        ShapeError,
        r"leading dimensions of emission must be those of the sequences[\s\S]*\(4,\)",
    ),
    "emission parameters for sequences that the data lack": (
        {"emission": lambda: normal(np.zeros((3, 1, 2))), "observed": np.zeros(6)},
        ShapeError,
        "leading dimensions of emission must be those of the sequences",
    ),
    "transition matrices for other sequences": (
        {"transition_matrix": np.stack([MATRIX] * 3)[:, None]},
        ShapeError,
        "leading dimensions of transition_matrix must be those of the sequences",
    ),
    "initial probabilities for other sequences": (
        {"initial_probs": np.full((3, 2), 0.5)},
        ShapeError,
        "leading dimensions of initial_probs must be those of the sequences",
    ),
    "a model variable as emission": (
        {"emission": lambda: pm.Normal("registered", 0.0, 1.0, shape=2)},
        DistributionError,
        r"emission must not be a variable of the model[\s\S]*'registered'[\s\S]*pm.Normal.dist",
    ),
    "a distribution class as emission": (
        {"emission": lambda: pm.Normal},
        DistributionError,
        "must be an unregistered PyMC distribution",
    ),
    "an array as emission": (
        {"emission": lambda: np.zeros(2)},
        DistributionError,
        "must be an unregistered PyMC distribution",
    ),
    "None as emission": (
        {"emission": lambda: None},
        DistributionError,
        "must be an unregistered PyMC distribution",
    ),
    "an expression as emission": (
        {"emission": lambda: normal() + 1.0},
        DistributionError,
        "must be a distribution, not an expression",
    ),
    "matrices as observations": (
        {
            "emission": lambda: pm.MatrixNormal.dist(
                np.zeros((2, 2)), rowcov=np.eye(2), colcov=np.eye(2)
            )
        },
        DistributionError,
        "must be univariate or vector-valued",
    ),
    "NaN in a parameter of the emission": (
        {"emission": lambda: normal((0.0, np.nan))},
        ParameterError,
        "a parameter of the emission is NaN",
    ),
    "no transition matrix": (
        {"transition_matrix": None},
        ParameterError,
        "transition_matrix must be an array of probabilities",
    ),
    "a word for a transition matrix": (
        {"transition_matrix": "uniform"},
        ParameterError,
        "transition_matrix must be an array of probabilities[\\s\\S]*'uniform'",
    ),
    "no initial probabilities": (
        {"initial_probs": None},
        ParameterError,
        "initial_probs must be an array of probabilities",
    ),
    "ragged lists": (
        {"observed": [[1.0, 2.0, 3.0], [2.0]]},
        DataError,
        r"observed must be an array of numbers[\s\S]*lengths=",
    ),
    "words for observations": (
        {"observed": ["wet", "dry"]},
        DataError,
        "observed must be an array of numbers",
    ),
    "steps that contradict the data": (
        {"steps": 99},
        ShapeError,
        r"must be those of the observations[\s\S]*T = 6",
    ),
    "a shape that contradicts the data": (
        {"shape": (4, 7)},
        ShapeError,
        "must be those of the observations",
    ),
    "no emission": ({"emission": lambda: ()}, ParameterError, "emission must not be empty"),
    "a multivariate emission among channels": (
        {
            "emission": lambda: (normal(), pm.MvNormal.dist(np.zeros((2, 2)), np.eye(2))),
            "observed": np.zeros((4, 6, 2)),
        },
        ShapeError,
        "each of several channels must have a univariate emission",
    ),
    "the wrong number of channels": (
        {"emission": lambda: (normal(), poisson()), "observed": np.zeros((6, 3))},
        ShapeError,
        r"must be the channels[\s\S]*D = 2",
    ),
    "one channel where there are several": (
        {"emission": lambda: (normal(), poisson()), "observed": np.zeros(6)},
        ShapeError,
        r"observed must have shape \(\.\.\., T, D\)",
    ),
    "a number observed": ({"observed": 1.0}, ShapeError, r"observed must have shape"),
    "no observations": ({"observed": np.zeros((4, 0))}, ShapeError, "at least one observation"),
    "an infinite observation": (
        {"observed": np.where(np.arange(6) == 2, np.inf, Y)},
        DataError,
        r"observed must not be infinite[\s\S]*inf at index \(0, 2\)[\s\S]*np\.nan",
    ),
    "fractions for a discrete emission": (
        {"emission": poisson, "observed": [1.0, 2.5, 3.0]},
        DataError,
        r"must be whole numbers[\s\S]*2\.5 at index \(1,\)",
    ),
    "fractions in one channel": (
        {"emission": lambda: (normal(), poisson()), "observed": [[0.1, 1.0], [0.2, 1.5]]},
        DataError,
        r"observed\[\.\.\., 1\] must be whole numbers",
    ),
    "vectors that are missing in part": (
        {
            "emission": lambda: pm.MvNormal.dist(np.zeros((2, 2)), np.eye(2)),
            "observed": np.array([[0.0, 1.0], [np.nan, 1.0]]),
        },
        DataError,
        r"present or missing as a whole[\s\S]*one distribution a channel",
    ),
    "lengths beyond T": ({"lengths": [6, 7, 1, 2]}, ParameterError, "between 0 and T"),
    "negative lengths": ({"lengths": [6, -1, 1, 2]}, ParameterError, "between 0 and T"),
    "lengths of other sequences": (
        {"lengths": [6, 5, 4]},
        ShapeError,
        r"one entry for each sequence[\s\S]*\(4,\)",
    ),
    "fractional lengths": ({"lengths": [6.0, 5.5, 4.0, 1.0]}, ParameterError, "must be integers"),
    "labels beyond K": (
        {"allowed_states": np.full((4, 6), 2)},
        ParameterError,
        r"labels in allowed_states must be states[\s\S]*K = 2",
    ),
    "labels below -1": (
        {"allowed_states": np.full((4, 6), -2)},
        ParameterError,
        "labels in allowed_states must be states",
    ),
    "fractional labels": (
        {"allowed_states": np.full((4, 6), 0.5)},
        ParameterError,
        "integer labels or a boolean mask",
    ),
    "a mask for another K": (
        {"allowed_states": np.ones((4, 6, 3), dtype=bool)},
        ShapeError,
        r"must have shape \(\.\.\., T, K\)",
    ),
    "a mask that forbids every state": (
        {"allowed_states": np.zeros((4, 6, 2), dtype=bool)},
        ParameterError,
        "must allow at least one state",
    ),
    "labels for another T": (
        {"allowed_states": np.zeros((4, 5), dtype=int)},
        ShapeError,
        "allowed_states must broadcast against the observations",
    ),
}


def call(**changes):
    arguments = {"emission": normal, "transition_matrix": MATRIX, "observed": Y} | changes
    emission = arguments.pop("emission")
    with pm.Model():
        return pmj.MarginalHMM("weather", emission=emission(), **arguments)


def test_the_correct_call_is_correct():
    assert call().name == "weather"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake(mistake):
    changes, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=message) as raised:
        call(**changes)
    text = str(raised.value)
    assert text.startswith("MarginalHMM 'weather': ")
    assert "\n  got " in text or "\n  try " in text
    assert "Tracer" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "the number of times T is not known"),
        ({"steps": 0}, "at least one observation"),
        ({"shape": (3, 0)}, "at least one observation"),
        ({"shape": ()}, r"shape must be \(\.\.\., T\)"),
    ],
    ids=["nothing tells T", "no steps", "empty shape", "no dimension"],
)
def test_a_distribution_without_length(arguments, message):
    with pytest.raises(ShapeError, match=message):
        pmj.MarginalHMM.dist(normal(), MATRIX, **arguments)


@pytest.mark.parametrize(
    "emission",
    [
        lambda: normal(sigma=-1.0),
        lambda: pm.Mixture.dist([0.5, 0.5], [pm.Normal.dist(0, 1), pm.Normal.dist(1, -1)]),
        lambda: (normal(), pm.Poisson.dist([-1.0, 4.0])),
    ],
    ids=["sigma", "a component of a mixture", "one channel of two"],
)
def test_constants_outside_the_domain_of_the_emission(emission):
    with pytest.raises(ParameterError, match=r"outside its domain[\s\S]*break the condition"):
        pmj.MarginalHMM.dist(emission(), MATRIX, steps=5)


def test_a_covariate_that_no_longer_fits_the_data():
    with pm.Model() as model:
        x = pm.Data("x", np.zeros(6))
        y = pm.Data("y", np.zeros(6))
        slope = pm.Normal("slope", shape=2)
        pmj.MarginalHMM("obs", pm.Normal.dist(slope * x[:, None], 1.0), MATRIX, observed=y)
    logp = model.compile_logp(mode=FAST)
    with model:
        pm.set_data({"y": np.zeros(9)})
    with pytest.raises(ShapeError, match=r"shapes[\s\S]*y \(9,\)[\s\S]*pm\.set_data"):
        logp({"slope": np.zeros(2)})


def test_no_sequences_at_all():
    hmm = pmj.MarginalHMM.dist(normal(), MATRIX, shape=(0, 5))
    assert logp_of(hmm, np.zeros((0, 5))).shape == (0,)


def test_parameters_that_do_not_broadcast():
    with pytest.raises(ShapeError, match="do not broadcast"):
        pmj.MarginalHMM.dist(
            normal(np.zeros((3, 1, 2))), np.stack([MATRIX] * 4)[:, None], "uniform", steps=5
        )


def test_integer_probabilities_are_probabilities():
    hmm = call(transition_matrix=[[0, 1], [1, 0]], initial_probs=[1, 0])
    assert np.isfinite(pm.draw(hmm)).all()


def test_a_matrix_of_nested_lists_may_hold_variables():
    with pm.Model() as model:
        p = pm.Beta("p", 1, 1)
        pmj.MarginalHMM("y", normal(), [[p, 1 - p], [0.5, 0.5]], observed=Y)
    assert np.isfinite(list(model.point_logps().values())).all()


def test_a_whole_message():
    with pm.Model():
        matrix = pm.Dirichlet("P", np.ones((3, 2)))
        with pytest.raises(ShapeError) as raised:
            pmj.MarginalHMM("weather", normal((0, 1, 2)), matrix, np.ones(3) / 3, observed=Y)
    assert str(raised.value) == (
        "MarginalHMM 'weather': transition_matrix must have shape (..., K, K).\n"
        "  got       (3, 2)  from variable 'P'\n"
        "  expected  (3, 3)  because initial_probs has K = 3\n"
        "  try       pm.Dirichlet('P', a=np.ones((3, 3)))"
    )
