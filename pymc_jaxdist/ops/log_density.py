"""The one Op: a log-density and its gradients from one call of a compiled JAX kernel."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type, grad_not_implemented
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.ops import kernel_calls
from pymc_jaxdist.ops.attempts import CallInAttempts, is_in_two_attempts
from pymc_jaxdist.ops.call_of_graph import call_of_graph
from pymc_jaxdist.ops.cotangents import uniform_cotangent
from pymc_jaxdist.ops.impossible_evaluations import count_impossible_evaluation
from pymc_jaxdist.ops.kernel_calls import Kernel
from pymc_jaxdist.ops.kernel_op import KernelOp
from pymc_jaxdist.ops.packed_call import packed_call
from pymc_jaxdist.ops.precision import in_double_precision
from pymc_jaxdist.ops.processes import prepare_process_starts

__all__ = [
    "LogDensity",
    "LogDensityHessianProduct",
    "LogDensityPullback",
    "log_density",
]


class LogDensity(KernelOp):
    r"""Log-densities of independent units with, hidden behind them, the gradients of their sum.

    Output 0 is :math:`\ell_n(x)`, one value per unit (sequence, subject, row). The hidden
    outputs are :math:`\partial \sum_n \ell_n / \partial x_k` for the inputs ``wrt``. PyTensor
    merges the node of the value with that of the gradient, because they are the same node, so
    that both cost one kernel call; gradients nobody asks for are dropped from ``wrt`` when the
    graph is rewritten.

    Parameters
    ----------
    kernel : callable
        JAX arrays to log-densities; hashable by value and picklable.
    batch_ndim : int
        Dimensions of the log-density. Its shape is that of the leading dimensions of input 0.
    differentiable : tuple of int
        Positions of the inputs that have a gradient.
    wrt : tuple of int
        Positions of the inputs whose gradients are computed, a subset of ``differentiable``.
    """

    __props__ = ("batch_ndim", "differentiable", "kernel", "wrt")
    __str__ = KernelOp.__str__
    default_output = 0

    def __init__(
        self,
        kernel: Kernel,
        batch_ndim: int,
        differentiable: tuple[int, ...],
        wrt: tuple[int, ...],
    ) -> None:
        self.kernel = kernel
        self.batch_ndim = batch_ndim
        self.differentiable = differentiable
        self.wrt = wrt

    @cached_property
    def compiled(self) -> Any:
        return kernel_calls.value_and_gradients(self.kernel, self.differentiable, self.wrt)

    @cached_property
    def may_have_graph(self) -> bool:
        """Whether the kernel is one of those that are a graph too."""
        from pymc_jaxdist.ops.hidden_markov_graph import has_graph

        return has_graph(self.kernel)

    def bound_call(
        self,
        shapes: tuple[tuple[int, ...], ...],
        dtypes: tuple[Any, ...],
        on_device: Mapping[int, jax.Array],
    ) -> Callable[[Sequence[Any]], list[np.ndarray]]:
        kernel, how = (self.kernel, self.differentiable, self.wrt), self.in_one_piece

        def note_impossible(
            inputs: Sequence[Any], results: list[np.ndarray], _: tuple[float, ...]
        ) -> list[np.ndarray]:
            count_impossible_evaluation(self.kernel, inputs)
            return results

        if is_in_two_attempts(self.kernel):
            call = CallInAttempts(*kernel, shapes, dtypes, on_device, how, note_impossible)
            return call.evaluate
        function = kernel_calls.value_gradients_and_count(*kernel)
        packed = packed_call(function, shapes, dtypes, tuple(on_device), how, n_counts=1)
        return packed.bind(on_device, note_impossible)

    def evaluation(
        self, node: Apply, inputs: Sequence[Any]
    ) -> Callable[[Sequence[Any]], list[np.ndarray]]:
        """Ask the graph where that is quicker, and else the kernel."""
        by_graph = call_of_graph(self, node, inputs) if self.may_have_graph else None
        if by_graph is None:
            return super().evaluation(node, inputs)

        def evaluate(inputs: Sequence[Any]) -> list[np.ndarray]:
            outputs, finite = by_graph(inputs)
            if finite or self.settled(inputs, outputs):
                return outputs
            return self.call_kernel(node, inputs)

        return evaluate

    def settled(self, inputs: Sequence[Any], outputs: Sequence[np.ndarray]) -> bool:
        """Tell whether what a graph gave is right: if all is impossible, no gradient matters.

        Parameters
        ----------
        inputs : sequence of array
        outputs : sequence of array
            Of the graph; gradients that have no meaning become 0.
        """
        value, *gradients = outputs
        if not np.isneginf(value).all():
            return False
        count_impossible_evaluation(self.kernel, inputs)
        for gradient in gradients:
            gradient[...] = 0.0
        return True

    @property
    def shaped_like(self) -> list[int]:
        """For each output, the position of an input that has its shape or begins with it."""
        return [0, *self.wrt]

    def with_gradients_of(self, wrt: Sequence[int]) -> "LogDensity":
        """Return the Op of the same density that computes only these gradients."""
        return LogDensity(self.kernel, self.batch_ndim, self.differentiable, tuple(wrt))

    def make_node(self, *inputs: Any) -> Apply:
        prepare_process_starts()
        variables = [in_double_precision(x) for x in inputs]
        batch_shape = variables[0].type.shape[: self.batch_ndim]
        outputs = [TensorType("float64", shape=batch_shape)()]
        outputs += [variables[i].type.clone(dtype="float64")() for i in self.wrt]
        return Apply(self, variables, outputs)

    def output_shapes(
        self, node: Apply, input_shapes: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        return [
            tuple(input_shapes[0][: self.batch_ndim]),
            *(tuple(input_shapes[i]) for i in self.wrt),
        ]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[i in self.differentiable] * len(node.outputs) for i in range(len(node.inputs))]

    def pullback(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        cotangents: Sequence[Variable],
    ) -> list[Variable]:
        """Return the cotangents of the inputs.

        A cotangent that is one number for all units (PyMC sums and scales log-densities) scales
        the hidden gradients; any other is passed to a kernel call of its own.
        """
        value_cotangent, *gradient_cotangents = cotangents
        contributions: list[list[Variable]] = []
        if not isinstance(value_cotangent.type, DisconnectedType):
            contributions.append(self._first_order(inputs, outputs, value_cotangent))
        if any(not isinstance(c.type, DisconnectedType) for c in gradient_cotangents):
            directions = dict(zip(self.wrt, gradient_cotangents, strict=True))
            contributions.append(
                _hessian_terms(self, inputs, pt.constant(1.0, dtype="float64"), directions)
            )
        return _scatter(self, inputs, contributions)

    def _first_order(
        self, inputs: Sequence[Variable], outputs: Sequence[Variable], cotangent: Variable
    ) -> list[Variable]:
        scale = uniform_cotangent(cotangent)
        if scale is None:
            return LogDensityPullback(self.kernel, self.differentiable)(
                *inputs, cotangent, return_list=True
            )
        if self.wrt != self.differentiable:
            outputs = self.with_gradients_of(self.differentiable).make_node(*inputs).outputs
        gradients = list(outputs[1:])
        if isinstance(scale, Constant) and scale.data == 1:
            return gradients
        return [scale * gradient for gradient in gradients]


class LogDensityPullback(KernelOp):
    r"""Gradients of :math:`\sum_n w_n \ell_n(x)` for weights that differ between units.

    The inputs are those of `LogDensity` followed by the weights ``w``.
    """

    __props__ = ("differentiable", "kernel")
    __str__ = KernelOp.__str__

    def __init__(self, kernel: Kernel, differentiable: tuple[int, ...]) -> None:
        self.kernel = kernel
        self.differentiable = differentiable

    @cached_property
    def compiled(self) -> Any:
        return kernel_calls.pullback(self.kernel, self.differentiable)

    def make_node(self, *inputs: Any) -> Apply:
        variables = [in_double_precision(x) for x in inputs]
        return Apply(self, variables, [variables[i].type() for i in self.differentiable])

    def output_shapes(
        self, node: Apply, input_shapes: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        return [tuple(input_shapes[i]) for i in self.differentiable]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        weights = len(node.inputs) - 1
        return [
            [i in self.differentiable or i == weights] * len(node.outputs)
            for i in range(len(node.inputs))
        ]

    def pullback(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        cotangents: Sequence[Variable],
    ) -> list[Variable]:
        *inputs, weights = inputs
        directions = dict(zip(self.differentiable, cotangents, strict=True))
        terms = _hessian_terms(self, inputs, weights, directions)
        weights_cotangent = grad_not_implemented(
            self,
            len(inputs),
            weights,
            "Second derivatives through weights that depend on the parameters are not available.",
        )
        return [*_scatter(self, inputs, [terms]), weights_cotangent]


class LogDensityHessianProduct(KernelOp):
    r"""Product of the Hessian of :math:`\sum_n w_n \ell_n(x)` with a direction.

    The inputs are those of `LogDensity`, the weights ``w`` and one direction for each
    differentiable input.
    """

    __props__ = ("differentiable", "kernel")
    __str__ = KernelOp.__str__

    def __init__(self, kernel: Kernel, differentiable: tuple[int, ...]) -> None:
        self.kernel = kernel
        self.differentiable = differentiable

    @cached_property
    def compiled(self) -> Any:
        return kernel_calls.hessian_product(self.kernel, self.differentiable)

    def make_node(self, *inputs: Any) -> Apply:
        variables = [in_double_precision(x) for x in inputs]
        return Apply(self, variables, [variables[i].type() for i in self.differentiable])

    def output_shapes(
        self, node: Apply, input_shapes: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        return [tuple(input_shapes[i]) for i in self.differentiable]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        n_inputs = len(node.inputs) - 1 - len(self.differentiable)
        return [
            [i in self.differentiable or i >= n_inputs] * len(node.outputs)
            for i in range(len(node.inputs))
        ]

    def pullback(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        cotangents: Sequence[Variable],
    ) -> list[Variable]:
        raise NotImplementedError(
            f"Third derivatives of {self.kernel} are not available; the log-density has first "
            "and second derivatives."
        )


def _hessian_terms(
    op: LogDensity | LogDensityPullback,
    inputs: Sequence[Variable],
    weights: Variable,
    directions: dict[int, Variable],
) -> list[Variable]:
    def direction(position: int) -> Variable:
        given = directions.get(position)
        if given is None or isinstance(given.type, DisconnectedType):
            return pt.zeros_like(inputs[position])
        return given

    return LogDensityHessianProduct(op.kernel, op.differentiable)(
        *inputs, weights, *(direction(i) for i in op.differentiable), return_list=True
    )


def _scatter(
    op: LogDensity | LogDensityPullback,
    inputs: Sequence[Variable],
    contributions: list[list[Variable]],
) -> list[Variable]:
    """Sum contributions (one per differentiable input) into one cotangent per input."""
    cotangents: list[Variable] = [disconnected_type() for _ in inputs]
    for k, position in enumerate(op.differentiable):
        if contributions:
            cotangents[position] = sum(
                (terms[k] for terms in contributions[1:]), start=contributions[0][k]
            )
    return cotangents


def log_density(
    kernel: Kernel, *inputs: Any, batch_ndim: int, constant: Collection[int] = ()
) -> TensorVariable:
    """Apply a JAX kernel as a log-density with gradients.

    Parameters
    ----------
    kernel : callable
        ``kernel(*inputs)`` in JAX returns log-densities of shape ``inputs[0].shape[:batch_ndim]``,
        one per independent unit. Hashable by value, and picklable.
    *inputs : tensor_like
        Inputs; those of floating dtype have gradients.
    batch_ndim : int
        Number of dimensions of the result.
    constant : collection of int
        Positions of inputs of floating dtype that have no gradient, for kernels that save work
        by it.

    Returns
    -------
    TensorVariable
        The log-densities, ``-inf`` where the kernel returns NaN.

    Examples
    --------
    >>> import jax.numpy as jnp, pytensor.tensor as pt
    >>> mu = pt.dscalar("mu")
    >>> logp = log_density(
    ...     lambda y, mu: -((y - mu) ** 2), pt.as_tensor([1.0, 3.0]), mu, batch_ndim=1
    ... )
    >>> logp.eval({mu: 1.0})
    array([-0., -4.])
    """
    variables = [in_double_precision(x) for x in inputs]
    differentiable = tuple(
        i for i, x in enumerate(variables) if x.type.dtype == "float64" and i not in constant
    )
    op = LogDensity(kernel, batch_ndim, differentiable, differentiable)
    return op(*variables)
