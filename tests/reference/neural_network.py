"""Neural networks in NumPy, written from the textbook."""

import numpy as np

__all__ = ["convolve", "multilayer_perceptron", "normal_logpdf"]


def multilayer_perceptron(x, layers):
    """Return the output ``(N, out)`` of tanh layers ``[(kernel, bias), ...]``, the last linear."""
    for kernel, bias in layers[:-1]:
        x = np.tanh(x @ kernel + bias)
    kernel, bias = layers[-1]
    return x @ kernel + bias


def convolve(x, kernel, bias):
    """Correlate images ``(N, H, W, C)`` with a kernel ``(h, w, C, D)`` where it fits inside."""
    height, width = kernel.shape[:2]
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    out = np.zeros((len(x), rows, columns, kernel.shape[3]))
    for i in range(height):
        for j in range(width):
            window = x[:, i : i + rows, j : j + columns]
            out += np.einsum("nrwc,cd->nrwd", window, kernel[i, j])
    return out + bias


def normal_logpdf(y, mean, sd):
    return -0.5 * ((y - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
