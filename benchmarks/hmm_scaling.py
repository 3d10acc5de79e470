"""Hidden Markov models: time against the length of a series, and against their number.

The claim: the time of value and gradient is linear in both. Three states, Normal emissions, the
fastest of the calls of half a second.

Run: ``python benchmarks/hmm_scaling.py``
"""

import json
import time
from pathlib import Path

import jax
import matplotlib as mpl
from hmm import Case, compiled, ours, problem

mpl.use("Agg")

HERE = Path(__file__).parent
MODES = ("C", "NUMBA")
LENGTHS = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
NUMBERS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
SECONDS = 0.5


def fastest(case: Case, mode: str) -> float:
    """Return the milliseconds of a call."""
    call = compiled(ours, problem(case), mode)
    call()
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


def draw(results: dict[str, dict[str, list[float]]], path: Path) -> None:
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True, layout="constrained")
    sizes = {"one series": (LENGTHS, "times"), "series of 100 times": (NUMBERS, "series")}
    colours = {"C": "#0072B2", "NUMBA": "#56B4E9"}
    names = {"C": "C backend", "NUMBA": "Numba backend"}
    for ax, (title, (numbers, label)) in zip(axes, sizes.items(), strict=True):
        for mode, milliseconds in results[title].items():
            ax.plot(numbers, milliseconds, "o-", color=colours[mode], label=names[mode])
        middle = len(numbers) // 2
        one = results[title]["NUMBA"][middle] / numbers[middle]
        proportional = [one * n for n in numbers]
        ax.plot(numbers, proportional, color="black", linewidth=0.8, label="proportional")
        ax.set(xscale="log", yscale="log", xlabel=label, title=title)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    axes[0].set_ylabel("value and gradient, ms")
    axes[0].legend(frameon=False)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    cases = {
        "one series": [Case(1, n, 3) for n in LENGTHS],
        "series of 100 times": [Case(n, 100, 3) for n in NUMBERS],
    }
    results: dict[str, dict[str, list[float]]] = {}
    for title, sizes in cases.items():
        results[title] = {mode: [fastest(case, mode) for case in sizes] for mode in MODES}
        for i, case in enumerate(sizes):
            row = "  ".join(f"{mode} {results[title][mode][i]:9.3f} ms" for mode in MODES)
            print(f"{case!s:>20}  {row}", flush=True)
    (HERE / "results" / "hmm_scaling.json").write_text(json.dumps(results, indent=1) + "\n")
    draw(results, HERE.parent / "docs" / "images" / "hmm_scaling.png")


if __name__ == "__main__":
    main()
