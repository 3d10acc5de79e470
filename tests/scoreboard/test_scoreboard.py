"""The fast rows of the scoreboard meet their targets, and its page is that of its numbers."""

import json

import numpy as np
import pytest

from tests.scoreboard.__main__ import RESULTS, TABLE, as_number, measure, table
from tests.scoreboard.rows import ROWS, Row

FAST = [row for row in ROWS if row.fast]


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    import jax

    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("row", FAST, ids=lambda row: row.title)
def test_row(row):
    result = measure(row, full=False)
    assert result["met"], result["measured"]


def test_a_row_can_miss():
    row = Row("one", "<= 1e-12", lambda full: iter([("x", 1e-13), ("y", 1e-11)]))
    result = measure(row, full=False)
    assert not result["met"]
    assert [one["met"] for one in result["measured"]] == [True, False]
    for value, target in ((0.5, "= 0"), (0.009, "> 0.01"), (20, "< 20"), (np.nan, "<= 1")):
        assert not Row("", target, lambda full: iter(())).meets(value)
    assert not measure(Row("nothing", "= 0", lambda full: iter(())), full=False)["met"]


def test_an_error_is_a_miss(capsys):
    def fails(full):
        yield "first", 0
        raise ValueError("no")

    result = measure(Row("", "= 0", fails), full=False)
    assert not result["met"]
    assert result["measured"][-1] == {"subject": "ValueError: no", "value": None, "met": False}
    assert "Traceback" in capsys.readouterr().err


def test_the_page_is_generated_from_the_numbers():
    results = [json.loads(p.read_text("utf-8")) for p in sorted(RESULTS.glob("scoreboard-*"))]
    assert TABLE.read_text("utf-8") == table(results)
    assert results
    for result in results:
        titles, measured = [row.title for row in ROWS], [row["row"] for row in result["rows"]]
        assert measured == [title for title in titles if title in measured]
        for row in result["rows"]:
            assert row["met"] == all(one["met"] for one in row["measured"])


def test_numbers_as_a_reader_compares_them():
    assert [as_number(x) for x in (0, 1e-13, 0.25, 20, 12.345)] == [
        "0",
        "1.0e-13",
        "0.25",
        "20",
        "12.3",
    ]
