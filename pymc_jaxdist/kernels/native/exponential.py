"""The exponential function of eight numbers at once."""

from pymc_jaxdist.kernels.native.compilation import inlined
from pymc_jaxdist.kernels.native.vectors import (
    larger,
    splat,
    times_power_of_two,
    zero_below,
)

__all__ = ["exponential"]

LOWEST = -708.0
INVERSE_LOG_2 = 1.4426950408889634
# The logarithm of 2 in two parts, the first with few digits, so that its multiples are exact.
LOG_2_HIGH = 6.93145751953125e-1
LOG_2_LOW = 1.42860682030941723212e-6
# Adding this rounds to an integer, which then stands in the last bits.
ROUND = 6755399441055744.0  # 3 * 2**51


@inlined
def exponential(x):  # type: ignore[no-untyped-def]
    r"""Give ``exp(x)`` for a vector of numbers at most 0.

    With :math:`x = n \log 2 + r`, :math:`|r| \le \log(2) / 2`, it is :math:`2^n` times the Taylor
    polynomial of degree 13 at r, whose remainder is below half a unit in the last place.

    Parameters
    ----------
    x : vector
        At most 0. NaN gives NaN; numbers below -708 give 0.
    """
    bounded = larger(splat(LOWEST), x)
    rounded = bounded * INVERSE_LOG_2 + ROUND
    n = rounded - ROUND
    r = (bounded - n * LOG_2_HIGH) - n * LOG_2_LOW
    # Estrin's scheme: pairs of terms do not wait for each other.
    r2 = r * r
    r4 = r2 * r2
    p0 = r + 1.0
    p2 = r * (1 / 6) + 1 / 2
    p4 = r * (1 / 120) + 1 / 24
    p6 = r * (1 / 5040) + 1 / 720
    p8 = r * (1 / 362880) + 1 / 40320
    p10 = r * (1 / 39916800) + 1 / 3628800
    p12 = r * (1 / 6227020800) + 1 / 479001600
    high = (p8 + r2 * p10) + r4 * p12
    polynomial = (p0 + r2 * p2) + r4 * ((p4 + r2 * p6) + r4 * high)
    return zero_below(splat(LOWEST), x, times_power_of_two(polynomial, rounded))
