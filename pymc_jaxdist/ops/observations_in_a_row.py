"""All observations of a hidden Markov model in one row, as PyTensor's Numba backend likes them.

An emission is evaluated for each observation and state, and its loop over the few states is the
innermost: too short for vector instructions. So observations are cut into blocks. The parameters
are repeated for each observation of a block, and each observation for each state, which makes one
long vector of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import All, Any, Max, Min
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.kernels.emission import Emission
from pymc_jaxdist.kernels.hidden_markov_log_likelihood import HiddenMarkovLogLikelihood
from pymc_jaxdist.ops.repetition import repeated

__all__ = ["ObservationsInARow", "observations_in_a_row"]

# Vectors of so many numbers take little of the fastest cache, and their loops are long enough.
NUMBERS_IN_A_BLOCK = 256
# So that what is added to fill the last block does not matter.
FEWEST_BLOCKS = 64


@dataclass(frozen=True)
class ObservationsInARow:
    """How sequences of observations are put in a row.

    The row is folded to the number of axes that a model of the sequences has, none of length 1,
    which would keep PyTensor from fusing sums with what they are sums of.

    Attributes
    ----------
    lengths : array of int, shape (...)
        How much of each sequence is used.
    states : int
        The number of states, or of histories of states.
    block : int
        The number of observations in a block.
    """

    lengths: np.ndarray
    states: int
    block: int

    @property
    def folds(self) -> tuple[int, ...]:
        """The axes before that of blocks."""
        return (2,) * self.lengths.ndim

    @property
    def length(self) -> int:
        """The length of the row, with what is there only to be read.

        A sequence is computed beside longer ones, and looks as far as they do: behind the last,
        too, there must be something.
        """
        used = int(self.lengths.sum() + self.lengths.max() - self.lengths.flat[-1])
        return used + -used % (self.block * 2**self.lengths.ndim)

    def observations(
        self, value: TensorVariable, parameters: Sequence[TensorVariable]
    ) -> TensorVariable:
        """Put the observations of a channel in a row, each as often as there are parameters."""
        copies = max([p.type.shape[-1] for p in parameters if p.type.ndim == 1], default=1)
        row = np.repeat(self._row(value), self.states if copies == 1 else copies)
        return pt.constant(self._folded(row))

    def parameter(self, parameter: TensorVariable) -> TensorVariable:
        """Repeat a parameter for the observations of a block."""
        if self.block == 1 or parameter.type.shape in ((), (1,)):
            return parameter
        return repeated(parameter, self.block)

    def of_histories(self, log_likelihoods: TensorVariable) -> TensorVariable:
        """Repeat what depends on the last states for every history that ends in them."""
        own = log_likelihoods.type.shape[-1] // self.block
        if own == self.states:
            return log_likelihoods
        each = log_likelihoods.reshape((*self.folds, -1, own))
        repeated = pt.tile(each, (*[1] * (each.type.ndim - 1), self.states // own))
        return repeated.reshape((*self.folds, -1, self.block * self.states))

    def of_states(self, data: TensorVariable) -> TensorVariable:
        """Put what is known of each observation and state in a row."""
        row = self._row(data)
        return pt.constant(self._folded(np.tile(row, self.states // row.shape[-1])))

    def _row(self, data: TensorVariable) -> np.ndarray:
        values = cast(Constant, data).data
        times = values.shape[self.lengths.ndim]
        row = values[np.arange(times) < self.lengths[..., None]]
        first = values.reshape(-1, *row.shape[1:])[:1]
        return np.concatenate([row, np.repeat(first, self.length - len(row), axis=0)])

    def _folded(self, row: np.ndarray) -> np.ndarray:
        in_a_block = self.block * row.size // self.length
        return row.reshape(*self.folds, -1, in_a_block)


def observations_in_a_row(
    kernel: HiddenMarkovLogLikelihood,
    inputs: Sequence[TensorVariable],
    used: TensorVariable,
    states: int,
) -> ObservationsInARow | None:
    """Return how to put the observations in a row, if that is possible.

    Parameters
    ----------
    kernel : HiddenMarkovLogLikelihood
    inputs : sequence of TensorVariable
        The arguments of the kernel.
    used : TensorVariable
        How much of each sequence is used.
    states : int
        The number of states, or of histories of states.

    Returns
    -------
    ObservationsInARow or None
        None unless all data are known, no parameter differs between observations, and the
        log-densities are computed number by number; and if there are no observations.
    """
    data = [inputs[0]]
    if kernel.allowed_states_given:
        data.append(inputs[3 + kernel.lengths_given])
    emissions = cast(tuple[Emission, ...], kernel.emissions)
    n_parameters = sum(emission.n_parameters for emission in emissions)
    if (
        not all(isinstance(x, Constant) for x in [*data, used])
        or not all(_by_number(emission) for emission in emissions)
        or not all(_in_one_vector(p) for p in inputs[len(inputs) - n_parameters :])
    ):
        return None
    shape = cast(Constant, inputs[0]).data.shape
    batch_ndim = len(shape) - (1 if len(emissions) == 1 else 2)
    lengths = cast(Constant, used).data.reshape(shape[:batch_ndim])
    if not lengths.any():
        return None
    block = min(NUMBERS_IN_A_BLOCK // states, int(lengths.sum()) // FEWEST_BLOCKS)
    return ObservationsInARow(lengths, states, max(block, 1))


def _in_one_vector(parameter: TensorVariable) -> bool:
    return parameter.type.ndim <= 1 and None not in parameter.type.shape


def _by_number(emission: Emission) -> bool:
    """Tell whether a log-density is made of operations on single numbers."""
    if emission.event_ndim or not emission.per_state:
        return False
    graph: FunctionGraph = emission.log_density.fgraph  # type: ignore[attr-defined]
    constants = [x for x in graph.variables if isinstance(x, Constant)]
    return all(np.size(x.data) == 1 for x in constants) and all(
        _keeps_numbers(node.op)
        # Copies of a parameter do not change whether all are positive.
        or isinstance(node.op, All | Any | Max | Min)
        or all(set(x.type.shape) <= {1} for x in node.inputs if isinstance(x.type, TensorType))
        for node in graph.toposort()
    )


def _keeps_numbers(op: Op) -> bool:
    if isinstance(op, DimShuffle):
        return op.new_order[op.new_order.count("x") :] == tuple(range(op.input_ndim))
    return isinstance(op, Elemwise)
