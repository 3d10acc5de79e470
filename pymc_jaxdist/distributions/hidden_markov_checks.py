"""Whether the arguments of a hidden Markov model fit together: states, times and sequences."""

from collections.abc import Sequence

from pytensor.tensor.variable import TensorVariable

from pymc_jaxdist.distributions.any_emission import AnyEmission
from pymc_jaxdist.distributions.arguments import broadcasts, describe, known_shape
from pymc_jaxdist.errors import ShapeError, compose_message

__all__ = ["check_agreement", "check_emissions", "check_log_likelihoods", "check_sequences"]

_LAYOUTS = {
    "emission": "parameters (N, 1, K) with an axis of length 1 in the place of time",
    "transition_matrix": "(N, 1, K, K) with an axis of length 1 in the place of time",
    "initial_probs": "(N, K) or (K,)",
}


def check_emissions(
    where: str,
    emissions: Sequence[AnyEmission],
    n_states: int | None,
    n_times: int | None,
) -> None:
    """Check that emissions broadcast against ``(..., T, K)`` and channels are univariate."""
    for channel, emission in enumerate(emissions):
        argument = "emission" if len(emissions) == 1 else f"emission[{channel}]"
        if len(emissions) > 1 and emission.event_ndim:
            raise ShapeError(
                compose_message(
                    where,
                    "each of several channels must have a univariate emission.",
                    got=f"{argument} is a distribution of vectors",
                    suggestion="one multivariate emission for all channels, without a tuple",
                )
            )
        shape = emission.batch_shape
        if shape and n_states is not None and shape[-1] not in (None, 1, n_states):
            raise ShapeError(
                compose_message(
                    where,
                    f"the last batch dimension of {argument} must be the states.",
                    got=f"batch shape {shape}",
                    expected=f"{n_states} or 1 on axis -1, because transition_matrix has "
                    f"K = {n_states}",
                    suggestion="mu[:, None] if the axis counts times, mu[:, None, None] if it "
                    "counts sequences",
                )
            )
        if len(shape) > 1 and n_times is not None and shape[-2] not in (None, 1, n_times):
            raise ShapeError(
                compose_message(
                    where,
                    f"the second last batch dimension of {argument} must be the times.",
                    got=f"batch shape {shape}",
                    expected=f"{n_times} or 1 on axis -2, because T = {n_times}",
                    suggestion="mu[:, None, :] if that axis counts sequences",
                )
            )


def check_sequences(
    where: str, argument: str, leading: tuple[int | None, ...], batch: tuple[int | None, ...]
) -> None:
    """Check that the leading dimensions of a parameter broadcast to those of the sequences."""
    if not broadcasts(leading, batch):
        raise ShapeError(
            compose_message(
                where,
                f"the leading dimensions of {argument} must be those of the sequences.",
                got=f"{leading}",
                expected=f"{batch}, those of the observations"
                if batch
                else "none, for one sequence",
                suggestion=_LAYOUTS[argument],
            )
        )


def check_agreement(where: str, leading: dict[str, tuple[int | None, ...]]) -> None:
    """Check that the leading dimensions of several arguments broadcast against one another."""
    for axis in range(1, 1 + max(map(len, leading.values()))):
        lengths = {d[-axis] for d in leading.values() if len(d) >= axis} - {None, 1}
        if len(lengths) > 1:
            raise ShapeError(
                compose_message(
                    where,
                    "the leading dimensions (the sequences) of the arguments must broadcast.",
                    got=", ".join(f"{name}: {shape}" for name, shape in leading.items()),
                    suggestion=_LAYOUTS["transition_matrix"],
                )
            )


def check_log_likelihoods(
    where: str, log_likelihoods: TensorVariable, n_states: int | None
) -> int | None:
    """Check emission terms ``(..., T, K)``; return T if known."""
    shape = known_shape(log_likelihoods)
    if len(shape) < 2 or (None not in (shape[-1], n_states) and shape[-1] != n_states):
        raise ShapeError(
            compose_message(
                where,
                "log_likelihoods must have shape (..., T, K).",
                got=describe(log_likelihoods, shape),
                expected=None if n_states is None else f"K = {n_states} on the last axis",
            )
        )
    if shape[-2] == 0:
        raise ShapeError(
            compose_message(where, "a sequence needs at least one observation.", got="T = 0")
        )
    return shape[-2]
