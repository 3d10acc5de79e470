"""Measure every row; write one JSON and one table; fail if a row misses its target.

    python -m tests.scoreboard [--fast] [--only WORDS]

The page is written after every row, so that a run can be stopped.

`make scoreboard` runs it. The table in docs/scoreboard.md is generated from the JSON.
"""

import argparse
import json
import platform
import sys
import time
import traceback
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
TABLE = ROOT / "docs" / "scoreboard.md"
PACKAGES = ("pymc", "pytensor", "jax", "numpyro", "arviz")


def as_number(value):
    """Write a number the way a reader compares it with a target."""
    if value != value:
        return "NaN"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value)}"
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.3g}"


def measure(row, full):
    """Measure one row; an error is a miss, and its message is kept."""
    start, found = time.perf_counter(), []
    try:
        for subject, value in row.measure(full):
            found.append(
                {"subject": subject, "value": float(value), "met": bool(row.meets(float(value)))}
            )
            print(f"  {subject}: {as_number(value)} ({'met' if found[-1]['met'] else 'MISSED'})")
            sys.stdout.flush()
    except Exception as error:
        traceback.print_exc()
        found.append(
            {"subject": f"{type(error).__name__}: {error}"[:200], "value": None, "met": False}
        )
    return {
        "row": row.title,
        "target": row.target,
        "met": bool(found) and all(one["met"] for one in found),
        "seconds": round(time.perf_counter() - start, 1),
        "measured": found,
    }


def stack():
    """Name the versions the numbers are of."""
    packages = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages}


def table(results):
    """Return the page of the documentation."""
    lines = [
        "# Scoreboard",
        "",
        "What the package claims of its correctness, and what was measured: `make scoreboard`",
        "measures every row and fails if one misses its target. The faster rows are part of",
        "`make test`, with fewer examples. This page is generated; do not edit it.",
        "",
    ]
    for result in results:
        versions = ", ".join(f"{name} {number}" for name, number in result["stack"].items())
        n_met = sum(row["met"] for row in result["rows"])
        day = result["date"]
        lines += [
            f"## PyMC {result['stack']['pymc']}",
            "",
            f"{n_met} of {len(result['rows'])} rows meet their target. {versions}; {day}.",
            "",
            "| what | of | value | target | |",
            "|---|---|---|---|---|",
        ]
        for row in result["rows"]:
            for i, one in enumerate(row["measured"]):
                title = row["row"] if i == 0 else ""
                value = "failed" if one["value"] is None else as_number(one["value"])
                verdict = "met" if one["met"] else "**missed**"
                subject = one["subject"].replace("|", "\\|").replace("\n", " ")
                lines.append(f"| {title} | {subject} | {value} | {row['target']} | {verdict} |")
        lines.append("")
    return "\n".join(lines)


def write(rows):
    """Write the numbers of this stack, and the page of all stacks."""
    result = {"date": datetime.now(UTC).date().isoformat(), "stack": stack(), "rows": rows}
    path = results_of_this_stack()
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    known = [json.loads(p.read_text("utf-8")) for p in sorted(RESULTS.glob("scoreboard-*"))]
    TABLE.write_text(table(known), encoding="utf-8")


def results_of_this_stack():
    """Return the file of the numbers of this version of PyMC."""
    return RESULTS / f"scoreboard-pymc{version('pymc').split('.')[0]}.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="fewer examples; writes nothing")
    parser.add_argument("--only", default="", help="only rows whose title holds this|or this")
    options = parser.parse_args()

    from tests.scoreboard.rows import ROWS

    path = results_of_this_stack()
    kept = {}
    if options.only and path.exists():
        kept = {row["row"]: row for row in json.loads(path.read_text("utf-8"))["rows"]}
    for row in ROWS:
        if not any(words in row.title.lower() for words in options.only.lower().split("|")):
            continue
        print(f"{row.title} ({row.target})", flush=True)
        kept[row.title] = measure(row, full=not options.fast)
        if not options.fast:
            write([kept[row.title] for row in ROWS if row.title in kept])
    missed = [title for title, row in kept.items() if not row["met"]]
    print(f"{len(kept) - len(missed)} of {len(kept)} rows meet their target")
    for title in missed:
        print(f"MISSED: {title}")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
