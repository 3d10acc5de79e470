"""What all our Ops share: how a compiled JAX function is found and called."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np
from pytensor.graph.basic import Apply, Constant

from pymc_jaxdist.errors import ShapeError, compose_message
from pymc_jaxdist.ops.backend import prepare_backend
from pymc_jaxdist.ops.compat import VersionedOp
from pymc_jaxdist.ops.kernel_calls import Kernel
from pymc_jaxdist.ops.linkers import know_our_ops
from pymc_jaxdist.ops.packed_call import packed_call
from pymc_jaxdist.ops.precision import double_precision
from pymc_jaxdist.ops.processes import refuse_hanging_fork

__all__ = ["KernelOp"]


class KernelOp(VersionedOp):
    """An Op that calls a compiled JAX function."""

    kernel: Kernel
    differentiable: tuple[int, ...]

    def __new__(cls, *args: Any, **kwargs: Any) -> "KernelOp":
        """Tell PyTensor's backends of our Ops, also where one is unpickled."""
        know_our_ops()
        return super().__new__(cls)

    @cached_property
    def compiled(self) -> Any:
        """The compiled JAX function: ``(*inputs) -> tuple of all outputs``."""
        raise NotImplementedError

    @property
    def in_one_piece(self) -> bool | None:
        """Whether the kernel asks to be compiled in one piece; see `PackedCall`."""
        return getattr(self.kernel, "in_one_piece", False)

    def bound_call(
        self,
        shapes: tuple[tuple[int, ...], ...],
        dtypes: tuple[Any, ...],
        on_device: Mapping[int, jax.Array],
    ) -> Callable[[Sequence[Any]], list[np.ndarray]]:
        """Return the call with inputs of given shapes, of which some stay on the device."""
        stay = tuple(on_device)
        packed = packed_call(self.compiled, shapes, dtypes, stay, self.in_one_piece)
        return packed.bind(on_device)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the compiled function behind: the process that loads the Op compiles its own."""
        return {k: v for k, v in self.__dict__.items() if k != "compiled"}

    def perform(
        self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]
    ) -> None:
        """Call the kernel once; the results are fresh writable NumPy arrays."""
        for storage, result in zip(output_storage, self.call_kernel(node, inputs), strict=True):
            storage[0] = result

    def call_kernel(self, node: Apply, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Return what the compiled kernel gives for a node, as arrays that nobody else holds."""
        refuse_hanging_fork()
        prepare_backend()
        with double_precision():
            call = _node_calls.get(node)
            if call is None:
                with _node_calls_lock:
                    call = _node_calls[node] = _NodeCall(node)
            try:
                return call(self, inputs)
            except (TypeError, ValueError) as error:
                raise _refused(self.kernel, node, inputs, error) from error

    def do_constant_folding(self, fgraph: Any, node: Apply) -> bool:
        """Never run JAX while a graph is being compiled."""
        return False

    def __str__(self) -> str:
        return f"{type(self).__name__}{{{self.kernel}}}"


def _refused(kernel: Kernel, node: Apply, inputs: Sequence[Any], error: Exception) -> ShapeError:
    """Say which inputs a kernel was called with when JAX could not compile it for them.

    Values never make a compiled kernel raise; shapes do, when data were replaced by longer ones.
    """
    shapes = ", ".join(
        f"{variable.name or f'input {position}'} {np.shape(x)}"
        for position, (variable, x) in enumerate(zip(node.inputs, inputs, strict=True))
    )
    return ShapeError(
        compose_message(
            str(kernel),
            "the shapes of its inputs do not fit together.",
            got=shapes,
            expected=f"shapes that broadcast; JAX says: {str(error).splitlines()[0]:.120}",
            suggestion="if you called pm.set_data, set everything that has the length you changed",
        )
    )


class _NodeCall:
    """The call of a kernel by a node, whose constant inputs (observed data) stay on the device."""

    def __init__(self, node: Apply) -> None:
        self._constants = {
            position: jax.device_put(variable.data)
            for position, variable in enumerate(node.inputs)
            if isinstance(variable, Constant)
        }
        self._moving = [i for i in range(len(node.inputs)) if i not in self._constants]
        self._calls: dict[tuple[Any, ...], Callable[[Sequence[Any]], list[np.ndarray]]] = {}

    def __call__(self, op: KernelOp, inputs: Sequence[Any]) -> list[np.ndarray]:
        key = tuple([inputs[i].shape for i in self._moving])
        call = self._calls.get(key)
        if call is None:
            arguments = [self._constants.get(i, x) for i, x in enumerate(inputs)]
            shapes = tuple(x.shape for x in arguments)
            dtypes = tuple(x.dtype for x in arguments)
            call = self._calls[key] = op.bound_call(shapes, dtypes, self._constants)
        return call(inputs)


_node_calls: WeakKeyDictionary[Apply, _NodeCall] = WeakKeyDictionary()
_node_calls_lock = threading.Lock()
