"""Mutation testing of the kernels: does a test fail when an operator or a number is wrong?

    python -m tests.mutation                     # all modules below
    python -m tests.mutation viterbi smoothing   # some

Each mutant is put into the code of the functions of a running process, so that JAX is started
once and not for each; the tests of the module run until one fails. A process that takes too long
(a loop that no longer ends) is ended, which counts as found.
"""

import argparse
import json
import multiprocessing
from pathlib import Path
from queue import Empty

from tests.mutation.mutants import mutants
from tests.mutation.trial import TESTS, work

LIMIT = 600  # seconds for one mutant


def try_all(name, context):
    """Yield mutants of a module with whether they were found."""
    path = Path("pymc_jaxdist/kernels", *name.split(".")).with_suffix(".py")
    every = list(mutants(path.read_text()))
    remaining: list = [None, *range(len(every))]
    while remaining:
        results = context.Queue()
        process = context.Process(target=work, args=(name, remaining, results), daemon=True)
        process.start()
        while remaining:
            try:
                number, found = results.get(timeout=LIMIT)
            except Empty:
                process.kill()
                if remaining[0] is None:
                    raise SystemExit(f"{name}: its tests take too long") from None
                number, found = remaining[0], "took too long"
                remaining = remaining[1:]
                yield every[number], found
                break
            remaining.remove(number)
            if number is not None:
                yield every[number], found
            elif found:
                raise SystemExit(f"{name}: the tests fail without any mistake")
        process.join(1)


def main():
    """Try every mutant; print those that no test found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    survivors = []
    for name in arguments.modules:
        total = 0
        for mutant, found in try_all(name, context):
            total += 1
            if found is False:
                survivors.append((name, mutant.line, mutant.change))
                print(f"{name}.py:{mutant.line}: {mutant.change}", flush=True)
        print(
            f"{name}: {total} mutants, {sum(s[0] == name for s in survivors)} survive", flush=True
        )
    if arguments.output:
        arguments.output.write_text(json.dumps(survivors, indent=1))


if __name__ == "__main__":
    main()
