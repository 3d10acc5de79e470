"""Long tables become padded arrays, whatever their order."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import pymc_jaxdist as pmj
from pymc_jaxdist.errors import ShapeError

NAN = np.nan


def test_channels_share_rows_and_repetitions_do_not():
    padded = pmj.pad_observations(
        subject=[2, 1, 1, 1, 2],
        time=[5.0, 1.0, 0.5, 1.0, 5.0],
        value=[7.0, 1.0, 2.0, 3.0, 8.0],
        channel=["x", "x", "y", "y", "x"],
    )
    assert_array_equal(padded.subjects, [1, 2])
    assert_array_equal(padded.channels, ["x", "y"])
    assert_array_equal(padded.times, [[0.5, 1.0], [5.0, 5.0]])
    assert_array_equal(padded.observed[0], [[NAN, 2.0], [1.0, 3.0]])
    assert_array_equal(padded.observed[1], [[7.0, NAN], [8.0, NAN]])


def test_columns_of_different_length_are_refused():
    with pytest.raises(ShapeError, match="same length"):
        pmj.pad_observations([1, 2], [1.0], [1.0])
