"""What all our Ops share: how a compiled JAX function is found and called."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np
from pytensor.graph.basic import Apply, Constant

from pymc_jaxdist.errors import ShapeError, compose_message
from pymc_jaxdist.ops.backend import keep_memory
from pymc_jaxdist.ops.compat import VersionedOp
from pymc_jaxdist.ops.garbage_collection import paused_garbage_collection
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

    def call_kernel(self, node: Apply, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Return what the compiled kernel gives for a node, as arrays that nobody else holds."""
        return _node_call(self, node).evaluate(inputs)

    def evaluation(
        self, node: Apply, inputs: Sequence[Any]
    ) -> Callable[[Sequence[Any]], list[np.ndarray]]:
        """Return what gives the outputs of a node for inputs of the size of these.

        Outputs are fresh writable arrays.
        """
        return _node_call(self, node).evaluate

    def perform(
        self, node: Apply, inputs: Sequence[Any], output_storage: Sequence[list[Any]]
    ) -> None:
        """Evaluate once."""
        results = self.evaluation(node, inputs)(inputs)
        for storage, result in zip(output_storage, results, strict=True):
            storage[0] = result

    def make_py_thunk(
        self,
        node: Apply,
        storage_map: Any,
        compute_map: Any,
        no_recycling: Any,
        debug: bool = False,
    ) -> Any:
        """Return what PyTensor's C backend calls: `perform`, which looks for its kernel once."""
        thunk = super().make_py_thunk(node, storage_map, compute_map, no_recycling, debug)
        computed = [] if compute_map is None else [compute_map[x] for x in node.outputs]

        def first_evaluation(values: list[Any]) -> list[np.ndarray]:
            evaluate = names["evaluate"] = self.evaluation(node, values)
            return evaluate(values)

        storages = {"i": thunk.inputs, "o": thunk.outputs, "c": computed}
        names = {f"{k}{n}": x for k, group in storages.items() for n, x in enumerate(group)}
        names["evaluate"] = first_evaluation
        exec(_source_of_perform(*map(len, storages.values())), names)
        perform = names.pop("perform")
        vars(perform).update(vars(thunk))
        return perform

    def do_constant_folding(self, fgraph: Any, node: Apply) -> bool:
        """Never run JAX while a graph is being compiled."""
        return False

    def __str__(self) -> str:
        return f"{type(self).__name__}{{{self.kernel}}}"


@cache
def _source_of_perform(n_inputs: int, n_outputs: int, n_computed: int) -> str:
    """Return what takes inputs from where they are stored, and stores outputs, without loops."""
    inputs = ", ".join(f"i{n}[0]" for n in range(n_inputs))
    outputs = "".join(f"o{n}[0], " for n in range(n_outputs))
    computed = "".join(f"c{n}[0] = " for n in range(n_computed))
    lines = ["def perform():", f"{outputs}= evaluate([{inputs}])"]
    return "\n    ".join([*lines, f"{computed}True"])


class _NodeCall:
    """The call of a kernel by a node, whose constant inputs (observed data) stay on the device."""

    def __init__(self, op: KernelOp, node: Apply) -> None:
        self._op = op
        self._names = [x.name or f"input {position}" for position, x in enumerate(node.inputs)]
        self._constants = {
            position: jax.device_put(variable.data)
            for position, variable in enumerate(node.inputs)
            if isinstance(variable, Constant)
        }
        self._of_varying_shape = [
            position
            for position, variable in enumerate(node.inputs)
            if position not in self._constants and None in variable.type.shape
        ]
        self._calls: dict[tuple[Any, ...], Callable[[Sequence[Any]], list[np.ndarray]]] = {}

    def evaluate(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Return what the kernel gives, as arrays that nobody else holds."""
        refuse_hanging_fork()
        varying = self._of_varying_shape
        key = tuple([inputs[i].shape for i in varying]) if varying else ()
        call = self._calls.get(key)
        try:
            # Asked here, not by a function: this costs as much as all that is around it.
            if call is not None and jax.config.jax_enable_x64:  # type: ignore[attr-defined]
                return call(inputs)
            with double_precision():
                if call is not None:
                    return call(inputs)
                with paused_garbage_collection():  # JAX compiles when a function is called.
                    return self._compile(key, inputs)(inputs)
        except (TypeError, ValueError) as error:
            raise self._refused(inputs, error) from error

    def _compile(
        self, key: tuple[Any, ...], inputs: Sequence[Any]
    ) -> Callable[[Sequence[Any]], list[np.ndarray]]:
        arguments = [self._constants.get(i, x) for i, x in enumerate(inputs)]
        shapes = tuple(x.shape for x in arguments)
        dtypes = tuple(x.dtype for x in arguments)
        call = self._calls[key] = self._op.bound_call(shapes, dtypes, self._constants)
        return call

    def _refused(self, inputs: Sequence[Any], error: Exception) -> ShapeError:
        """Say which inputs the kernel was called with when JAX could not compile it for them.

        Values never make a compiled kernel raise; shapes do, when data were replaced by longer
        ones.
        """
        shapes = ", ".join(
            f"{name} {np.shape(x)}" for name, x in zip(self._names, inputs, strict=True)
        )
        return ShapeError(
            compose_message(
                str(self._op.kernel),
                "the shapes of its inputs do not fit together.",
                got=shapes,
                expected=f"shapes that broadcast; JAX says: {str(error).splitlines()[0]:.120}",
                suggestion="if you called pm.set_data, set everything that has the length you "
                "changed",
            )
        )


def _node_call(op: KernelOp, node: Apply) -> _NodeCall:
    call = _node_calls.get(node)
    if call is None:
        refuse_hanging_fork()
        keep_memory()
        with _node_calls_lock, double_precision():
            call = _node_calls[node] = _NodeCall(op, node)
    return call


_node_calls: WeakKeyDictionary[Apply, _NodeCall] = WeakKeyDictionary()
_node_calls_lock = threading.Lock()
