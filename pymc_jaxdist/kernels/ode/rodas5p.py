"""Rodas5P, a Rosenbrock method of order 5 for stiff problems."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pymc_jaxdist.kernels.ode.linear_solve import factorized
from pymc_jaxdist.kernels.ode.step import Field, Step, computed_once

__all__ = ["Rodas5P"]

# Stiff problems change their errors on the way from one step to the end by more than others. The
# estimate is enlarged until gradients of Robertson's problem are as exact as those of implicit
# methods with the same tolerance (a geometric mean of 4.5e-8 at 1e-6 for 20 parameters about the
# usual ones; 6e-7 if enlarged by 30, 2e-5 as it is), in some two and a half times the time.
ERROR_SCALE = 400.0

# Up to this number of states the stages are written out. Each then takes half as long, but the
# compiler two to three times, and ever longer the more states there are: at eight states 10 s
# written out, 5 s in a loop, for 0.33 and 0.56 ms.
WRITTEN_OUT = 4

GAMMA = 0.21193756319429014

NODES = (0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0)

TIME_DERIVATIVE = (
    0.21193756319429014,
    -0.42387512638858027,
    -0.3384627126235924,
    1.8046452872882734,
    2.325825639765069,
)

# Where stages are evaluated; the seventh and the eighth add the one before them to the sixth.
MATRIX = (
    (),
    (3.0,),
    (2.849394379747939, 0.45842242204463923),
    (-6.954028509809101, 2.489845061869568, -10.358996098473584),
    (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
    (
        -7.502846399306121,
        2.561846144803919,
        -11.627539656261098,
        -0.18268767659942256,
        0.030198172008377946,
    ),
)

COUPLING = (
    (),
    (-14.155112264123755,),
    (-17.97296035885952, -2.859693295451294),
    (147.12150275711716, -1.41221402718213, 71.68940251302358),
    (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
    (
        24.854864614690072,
        -3.0009227002832186,
        47.4931110020768,
        5.5814197821558125,
        -0.6610691825249471,
    ),
    (
        30.91273214028599,
        -3.1208243349937974,
        77.79954646070892,
        34.28646028294783,
        -19.097331116725623,
        -28.087943162872662,
    ),
    (
        37.80277123390563,
        -3.2571969029072276,
        112.26918849496327,
        66.9347231244047,
        -40.06618937091002,
        -54.66780262877968,
        -9.48861652309627,
    ),
)

DENSE = (
    (
        25.948786856663858,
        -2.5579724845846235,
        10.433815404888879,
        -2.3679251022685204,
        0.524948541321073,
        1.1241088310450404,
        0.4272876194431874,
        -0.17202221070155493,
    ),
    (
        -9.91568850695171,
        -0.9689944594115154,
        3.0438037242978453,
        -24.495224566215796,
        20.176138334709044,
        15.98066361424651,
        -6.789040303419874,
        -6.710236069923372,
    ),
    (
        11.419903575922262,
        2.8879645146136994,
        72.92137995996029,
        80.12511834622643,
        -52.072871366152654,
        -59.78993625266729,
        -0.15582684282751913,
        4.883087185713722,
    ),
)


@dataclass(frozen=True)
class Rodas5P:
    """An L-stable Rosenbrock method of order 5: eight linear systems with one matrix a step.

    The Jacobian is exact (forward differentiation of the field), and so are the derivatives of a
    step, which contain second derivatives of the field.

    References
    ----------
    .. [1] Steinebach, G. (2023). Construction of Rosenbrock-Wanner method Rodas5P and numerical
       benchmarks within the Julia Differential Equations package. BIT Numerical Mathematics
       63(2), 27.
    """

    error_order = 5
    lands_on_observations = False
    fixed_size = None
    stability_limit = math.inf
    reuses_slope = True

    def step(self, f: Field, t: jax.Array, h: jax.Array, y: jax.Array, slope: jax.Array) -> Step:
        """Take a step; see `Step`."""
        moving = h > 0
        size = jnp.where(moving, h, 1.0)
        jacobian = jax.jacfwd(lambda y: f(t, y))(y)
        in_time = computed_once(jax.jvp(lambda t: f(t, y), (t,), (jnp.ones_like(t),))[1])
        identity = jnp.eye(y.shape[0], dtype=y.dtype)
        solve = factorized(computed_once(identity / (size * GAMMA) - jacobian))
        written_out = y.shape[0] <= WRITTEN_OUT
        run = _stages_written_out if written_out else _stages_in_a_loop
        stages, argument = run(f, solve, t, size, y, slope, in_time)
        end = argument + stages[-1]
        dense: Any = tuple(sum(d * u for d, u in zip(row, stages, strict=True)) for row in DENSE)
        end = computed_once(jnp.where(moving, end, y))
        if written_out:
            slope = f(t + h, end)
        return Step(end, slope, ERROR_SCALE * stages[-1], dense, jnp.zeros_like(h))

    def interpolate(self, u: jax.Array, h: jax.Array, y: jax.Array, step: Step) -> jax.Array:
        """Return the solution at ``t + u h`` by the method's own polynomial of order 4."""
        first, second, third = step.dense
        return (1 - u) * y + u * (step.y + (1 - u) * (first + u * (second + u * third)))


def _stages_written_out(
    f: Field,
    solve: Callable[[jax.Array], jax.Array],
    t: jax.Array,
    size: jax.Array,
    y: jax.Array,
    slope: jax.Array,
    in_time: jax.Array,
) -> tuple[list[jax.Array], jax.Array]:
    """Return the stages, and where the last one was evaluated."""
    stages: list[jax.Array] = []
    argument = y
    for i, coupling in enumerate(COUPLING):
        if 0 < i < len(MATRIX):
            argument = y + sum(a * u for a, u in zip(MATRIX[i], stages, strict=True))
        elif i > 0:
            argument = argument + stages[-1]
        argument = computed_once(argument)
        right = slope if i == 0 else computed_once(f(t + NODES[min(i, 5)] * size, argument))
        if i < len(TIME_DERIVATIVE):
            right = right + size * TIME_DERIVATIVE[i] * in_time
        if coupling:
            right = right + sum(c * u for c, u in zip(coupling, stages, strict=True)) / size
        stages.append(computed_once(solve(computed_once(right))))
    return stages, argument


def _stages_in_a_loop(
    f: Field,
    solve: Callable[[jax.Array], jax.Array],
    t: jax.Array,
    size: jax.Array,
    y: jax.Array,
    slope: jax.Array,
    in_time: jax.Array,
) -> tuple[list[jax.Array], jax.Array]:
    """Return the same, of one stage that is compiled once; the slope is computed again."""
    n_stages = len(COUPLING)
    sixth = MATRIX[-1]
    matrix = (*MATRIX, (*sixth, 1.0), (*sixth, 1.0, 1.0))
    nodes = (*NODES, *[NODES[-1]] * (n_stages - len(NODES)))

    def table(rows: Sequence[Sequence[float]]) -> jax.Array:
        filled = [[*row, *[0.0] * (n_stages - len(row))] for row in rows]
        return jnp.asarray(filled, dtype=y.dtype)

    def stage(carry: tuple[Any, ...], row: tuple[Any, ...]) -> tuple[Any, ...]:
        stages, _ = carry
        position, node, in_argument, in_right, rate = row
        argument = computed_once(y + jnp.sum(in_argument[:, None] * stages, axis=0))
        right = computed_once(f(t + node * size, argument)) + size * rate * in_time
        right = right + jnp.sum(in_right[:, None] * stages, axis=0) / size
        found = computed_once(solve(computed_once(right)))
        return (lax.dynamic_update_index_in_dim(stages, found, position, 0), argument), None

    rows = (
        jnp.arange(n_stages),
        jnp.asarray(nodes, dtype=y.dtype),
        table(matrix),
        table(COUPLING),
        table([TIME_DERIVATIVE])[0],
    )
    blank = jnp.zeros((n_stages, *y.shape), dtype=y.dtype)
    (stages, argument), _ = lax.scan(stage, (blank, y), rows)
    return list(stages), argument
