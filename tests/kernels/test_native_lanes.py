"""Where the recursions of eight lanes keep their numbers."""

from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from pymc_jaxdist.kernels.native.addresses import address
from pymc_jaxdist.kernels.native.lanes import LINE, Lanes, lanes_at, size_of_lanes
from pymc_jaxdist.kernels.native.vectors import LANES

BYTES = 8


@njit
def laid_out(memory, steps, states):
    """Return the addresses of all fields, and how many numbers there must be room for."""
    lanes = lanes_at(memory, steps, states)
    addresses = (
        address(lanes.starts, 0),
        address(lanes.ends, 0),
        address(lanes.matrices, 0),
        address(lanes.predicted, 0),
        address(lanes.beta, 0),
        address(lanes.last, 0),
        address(lanes.column, 0),
        address(lanes.emission, 0),
        address(lanes.filtered, 0),
        address(lanes.inverse_normaliser, 0),
        address(lanes.log_likelihood, 0),
        address(lanes.sum_of_emissions, 0),
        address(lanes.sum_of_ratios, 0),
    )
    return addresses, size_of_lanes(steps, states)


def size_of(field, steps, states):
    """Return how many vectors a field is said to hold."""
    if field in ("predicted", "beta", "last", "column"):
        return states
    if field in ("emission", "filtered"):
        return steps * states
    return steps if field == "inverse_normaliser" else 1


@given(st.integers(1, 50), st.integers(1, 70), st.integers(1000, 1100))
def test_each_field_has_room_of_its_own(steps, states, begin):
    """In the memory asked for, of which the first field begins where a line of the cache does."""
    addresses, size = laid_out(BYTES * begin, steps, states)
    assert addresses[0] % LINE == 0
    end = BYTES * begin
    for place, field in sorted(zip(addresses, Lanes._fields, strict=True)):
        assert place >= end
        end = place + BYTES * LANES * size_of(field, steps, states)
    assert end <= BYTES * (begin + size)
