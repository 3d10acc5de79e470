"""First guesses of the hidden states: clusters of the observations, without any model."""

import numpy as np

__all__ = ["cluster_observations", "features_of"]

N_RESTARTS = 5
N_ITERATIONS = 50
#: Times on each side over which the local scale of a series is taken.
HALF_WINDOW = 3


def features_of(value: np.ndarray, event_ndim: int, circular: list[bool]) -> list[np.ndarray]:
    """Return what observations may be clustered by: their values, or how much they vary.

    Parameters
    ----------
    value : (..., T) or (..., T, D) array
        Observations; NaN where missing.
    event_ndim : int
        1 if there is a last dimension D.
    circular : list of bool
        For each channel, whether it is an angle.

    Returns
    -------
    list of (..., T, F) array
        Standardised; NaN where missing.
    """
    channels = value.astype(float) if event_ndim else value[..., None].astype(float)
    columns = []
    for channel in range(channels.shape[-1]):
        x = channels[..., channel]
        angle = circular[channel] if channel < len(circular) else False
        columns += [np.cos(x), np.sin(x)] if angle else [_standardised(x)]
    scales = [_standardised(np.log(_local_scale(x) + 1e-3)) for x in columns]
    scales = [np.where(np.isnan(x), np.nan, s) for x, s in zip(columns, scales, strict=True)]
    return [np.stack(columns, axis=-1), np.stack(scales, axis=-1)]


def cluster_observations(
    features: np.ndarray, n_clusters: int, random: np.random.Generator
) -> np.ndarray:
    """Cluster by k-means, the best of several k-means++ starts.

    Parameters
    ----------
    features : (..., T, F) array
        NaN where there is nothing to cluster.
    n_clusters : int
        K.
    random : numpy.random.Generator
        Of the starts.

    Returns
    -------
    (..., T) array of int
        Numbers of clusters in the order of the mean of the first feature; -1 where missing.

    References
    ----------
    .. [1] Arthur, D., & Vassilvitskii, S. (2007). k-means++: the advantages of careful seeding.
       SODA.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[5.0], [0.1], [np.nan], [0.0], [5.1]])
    >>> cluster_observations(x, 2, np.random.default_rng(0)).tolist()
    [1, 0, -1, 0, 1]
    """
    rows = features.reshape(-1, features.shape[-1])
    present = ~np.isnan(rows).any(axis=1)
    points = rows[present]
    found = [_k_means(points, n_clusters, random) for _ in range(N_RESTARTS)]
    _, labels = min(found, key=lambda pair: pair[0])
    means = [
        points[labels == k, 0].mean() if (labels == k).any() else np.inf for k in range(n_clusters)
    ]
    rank = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    result = np.full(len(rows), -1)
    result[present] = rank[labels]
    return result.reshape(features.shape[:-1])


def _k_means(
    points: np.ndarray, n_clusters: int, random: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Return the sum of squared distances to the nearest centre, and its number for each point."""
    centres = points[random.integers(len(points), size=1)]
    while len(centres) < n_clusters:
        nearest = _squared_distances(points, centres).min(axis=1)
        total = nearest.sum()
        probs = nearest / total if total > 0 else None
        centres = np.vstack([centres, points[random.choice(len(points), p=probs)]])
    for _ in range(N_ITERATIONS):
        labels = _squared_distances(points, centres).argmin(axis=1)
        moved = np.array(
            [
                points[labels == k].mean(axis=0) if (labels == k).any() else c
                for k, c in enumerate(centres)
            ]
        )
        if np.array_equal(moved, centres):
            break
        centres = moved
    distances = _squared_distances(points, centres)
    return float(distances.min(axis=1).sum()), distances.argmin(axis=1)


def _squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((points[:, None] - centres) ** 2).sum(axis=-1)


def _standardised(x: np.ndarray) -> np.ndarray:
    scale = np.nanstd(x)
    return (x - np.nanmean(x)) / (scale if scale > 0 else 1.0)


def _local_scale(x: np.ndarray) -> np.ndarray:
    """Return the mean absolute deviation ``(..., T)`` from the mean, over a window of times."""
    deviations = np.abs(x - np.nanmean(x))
    width = [(0, 0)] * (x.ndim - 1) + [(HALF_WINDOW, HALF_WINDOW)]
    padded = np.pad(np.nan_to_num(deviations), width)
    counts = np.pad((~np.isnan(x)).astype(float), width)
    window = (2 * HALF_WINDOW + 1,)
    total = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(-1,)).sum(axis=-1)
    number = np.lib.stride_tricks.sliding_window_view(counts, window, axis=(-1,)).sum(axis=-1)
    return np.asarray(total / np.maximum(number, 1))
