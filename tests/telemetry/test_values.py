"""Arguments of unforeseen types raise nothing into the application."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

import telemetry
from exporters.sql.schema import tables
from telemetry._internal.guard import raise_internal_errors
from tests.telemetry.recordings import Recorded


class Hostile:
    """A value that raises when it is printed or compared."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def as_in_production() -> Iterator[None]:
    """Swallow and count internal errors, instead of raising them."""
    before = raise_internal_errors(False)
    yield
    raise_internal_errors(before)


ODD = [
    None,
    5,
    -1.5,
    math.nan,
    "a text",
    "",
    b"bytes",
    "\0\udcff",
    (),
    (1,),
    [[]],
    {"a": 1},
    object(),
    Hostile(),
]


def use_all(odd: Any) -> None:
    """Pass ``odd`` as every argument of the API."""
    run = telemetry.start_run("analysis", candidates=1)
    run.describe(candidates=odd, criteria=odd, jd=odd, jd_type=odd)
    with (
        telemetry.stage(odd),
        telemetry.document(odd, size=odd, characters=odd, type=odd, chunks=odd) as document,
    ):
        document.describe(size=odd, characters=odd, type=odd, chunks=odd, row_id=odd)
        document.score(odd, out_of=odd, fallback=odd)
        document.fail(odd, again=odd)
        telemetry.record_fallback(odd)
        telemetry.count(odd, odd)
    telemetry.fail_current_run(odd)
    telemetry.warn(odd, user_id=odd, subject=odd, analysis_id=odd, action=odd, limit=odd, document_count=odd)
    telemetry.answer_warnings(odd, odd, warning_type=odd, user_id=odd)
    run.link(odd)
    run.fail(odd)
    telemetry.start_run(odd, user_id=odd, subject=odd, enqueued_at=odd, jd=odd, jd_type=odd).finish()
    telemetry.resume(odd).finish()


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_nothing_is_raised_into_the_application(recorded: Recorded, odd: Any) -> None:
    """Nor is anything else lost: this run and later ones are delivered."""
    use_all(odd)
    with telemetry.run("intake", user_id=7), telemetry.stage("later"):
        pass

    assert recorded.pipeline.shutdown(10)
    assert recorded.pipeline.spool.dead() == 0
    kinds = [row["kind"] for row in recorded.rows(tables.runs)]
    assert {"analysis", "intake"} <= set(kinds)
