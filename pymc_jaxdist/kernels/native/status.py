"""What a native kernel tells of a sequence beside its results."""

__all__ = ["EXACT", "IMPOSSIBLE", "UNDECIDED"]

# Its results are exact; the scaled recursions may have lost something, and the transition matrix
# varies in time, so that what they lost is not computed natively; it is impossible beyond doubt.
# Numbers, since they are an output beside others.
EXACT, UNDECIDED, IMPOSSIBLE = 0.0, 1.0, 2.0
