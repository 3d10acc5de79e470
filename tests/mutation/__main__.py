"""Mutation testing of the kernels: does a test fail when an operator or a number is wrong?

    python -m tests.mutation                     # all modules below
    python -m tests.mutation viterbi smoothing   # some
    python -m tests.mutation --sample 40         # 40 mutants of each, always the same

Each mutant is put into the code of the functions of a running process, so that JAX is started
once and not for each; what Numba compiles (``native.lanes``) is compiled again in a process for
each. The tests of the module run until one fails. A process that takes too long (a loop that no
longer ends) is ended, one that takes too much memory ends by itself, and both count as found.
"""

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from pathlib import Path
from queue import Empty

from tests.mutation.mutants import mutants
from tests.mutation.trial import TESTS, is_alone, work

LIMIT = 600  # seconds for one mutant
#: What takes long to import, and starts no threads.
PRELOADED = ["jax", "numba", "scipy.stats", "hypothesis", "pytest"]


def answer(results, process):
    """Return what a process says next; None if it ended, or takes too long."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        alive = process.is_alive()
        try:
            return results.get(timeout=1)
        except Empty:
            if not alive:
                return None
    return None


def mutants_of(name):
    """Return every mutant of a module."""
    path = Path("pymc_jaxdist/kernels", *name.split(".")).with_suffix(".py")
    return list(mutants(path.read_text()))


def drawn(every, sample):
    """Return the numbers of so many mutants, drawn at random but always the same; None for all."""
    if sample is None or sample >= len(every):
        return list(range(len(every)))
    return sorted(random.Random(0).sample(range(len(every)), sample))


def try_each(name, every, numbers, failed):
    """Yield those mutants of a module with whether they were found."""
    remaining: list = [None, *numbers]
    context = multiprocessing.get_context("forkserver" if is_alone(name) else "spawn")
    context.set_forkserver_preload(PRELOADED)
    while remaining:
        waiting = remaining[:1] if is_alone(name) else remaining[:]
        results = context.Queue()
        process = context.Process(
            target=work, args=(name, waiting[:], failed, results), daemon=True
        )
        process.start()
        while waiting:
            given = answer(results, process)
            number, found = (waiting[0], True) if given is None else given
            waiting.remove(number)
            remaining.remove(number)
            if is_alone(name) and not found:
                # Memory written where it should not be may show when the process ends.
                process.join(60)
                found = process.exitcode not in (0, None)
            if number is not None:
                yield every[number], found
            elif found:
                raise SystemExit(f"{name}: the tests fail without any mistake, or never end")
            if given is None:
                process.kill()
                break
        process.join(1)


def main():
    """Try every mutant; print those that no test found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument("--sample", type=int, metavar="N", help="mutants of each module")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    survivors = []
    for name in arguments.modules:
        every = mutants_of(name)
        numbers = drawn(every, arguments.sample)
        with tempfile.TemporaryDirectory() as failed:
            for mutant, found in try_each(name, every, numbers, failed):
                if found is False:
                    survivors.append((name, mutant.line, mutant.change))
                    print(f"{name}.py:{mutant.line}: {mutant.change}", flush=True)
        tried = f"{len(numbers)} of " if len(numbers) < len(every) else ""
        survive = sum(s[0] == name for s in survivors)
        print(f"{name}: {tried}{len(every)} mutants, {survive} survive", flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(survivors, indent=1))


if __name__ == "__main__":
    main()
