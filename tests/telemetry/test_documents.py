"""Documents, scores, counters and fallbacks, none of whose text is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from openai import OpenAI

import telemetry
from exporters.rollup.merge import Rollup
from exporters.sql.schema import tables
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import BROKEN, Broken, Recorded, ask, stages


def documents(run: Rollup) -> list[tuple[Any, ...]]:
    return [(doc.size, doc.characters, doc.type, doc.score, doc.outcome) for doc in run.documents]


def test_document_has_size_length_type_and_score(recorded: Recorded) -> None:
    """The score may be out of 1 or out of 100."""
    with telemetry.run("analysis"):
        with telemetry.document("a.PDF", size=100, type=".PDF") as document:
            document.describe(characters=50, chunks=2)
            document.score(85, out_of=100)
        with telemetry.document("b.docx", size=200) as document:
            document.describe(type="DOCX")
            document.score(0.85)
    rollup = recorded.run()

    assert sorted(documents(rollup)) == [
        (100, 50, "pdf", 8500, "scored"),
        (200, None, "docx", 8500, "scored"),
    ]
    assert rollup.scores.above_70 == 2


@pytest.mark.parametrize("percent", [0, 1, 29, 49.99, 50, 69.99, 70, 100])
def test_scores_of_one_and_of_a_hundred_agree(recorded: Recorded, percent: float) -> None:
    """A score is stored the same whether it is out of 1 or out of 100."""
    with telemetry.run("analysis"):
        with telemetry.document("a") as document:
            document.score(percent, out_of=100)
        with telemetry.document("b") as document:
            document.score(round(percent / 100, 6))
    one, other = recorded.run().documents

    assert one.score == other.score == round(percent * 100)


def test_visits_of_a_document_are_merged_by_name_and_size(recorded: Recorded) -> None:
    """The same name with another size is another document."""
    with telemetry.run("analysis"):
        with telemetry.stage("extraction"):
            for size in (10, 20):
                with telemetry.document("cv.pdf", size=size, characters=size * 2):
                    pass
        with telemetry.stage("ranking"):
            for size in (10, 20):
                with telemetry.document("cv.pdf", size=size) as document:
                    document.score(size, out_of=100)
    rollup = recorded.run()

    assert documents(rollup) == [(10, 20, None, 1000, "scored"), (20, 40, None, 2000, "scored")]
    assert all(doc.extraction_us is not None and doc.analysis_us is not None for doc in rollup.documents)


def test_failed_and_duplicate_documents_are_counted(recorded: Recorded) -> None:
    """A document fails by the exception that leaves its block or by `fail`; a duplicate is no failure."""
    with telemetry.run("analysis"):
        with pytest.raises(Broken), telemetry.document("a"):
            raise Broken
        with telemetry.document("b") as document:
            document.fail("Unreadable")
        with telemetry.document("c") as document:
            document.duplicate()
        with telemetry.document("d") as document:
            document.score(1)
    rollup = recorded.run()

    assert (rollup.status, rollup.failed_documents, rollup.duplicates, rollup.scores.count) == (
        "partial_failure",
        2,
        1,
        1,
    )
    assert rollup.errors == {("unattributed", BROKEN): 1, ("unattributed", "Unreadable"): 1}
    assert {doc.error_type for doc in rollup.documents} == {BROKEN, "Unreadable", None}


@pytest.mark.parametrize(("score", "out_of"), [(85, 1), (1.5, 1), (-0.2, 1), (101, 100), (float("inf"), 1)])
def test_score_out_of_range_is_left_out(recorded: Recorded, score: float, out_of: float) -> None:
    """It is not guessed that 85 out of 1 means 85 out of 100: it is in no band and no average."""
    with telemetry.run("analysis", candidates=1), telemetry.document("cv.pdf") as document:
        document.score(score, out_of=out_of)

    (rollup,) = recorded.runs()
    assert (rollup.scores.count, rollup.scores.average) == (0, None)


@pytest.mark.parametrize("score_first", [True, False])
def test_record_fallback_marks_the_document(recorded: Recorded, score_first: bool) -> None:
    """The score of a fallback is in no band, in either order of calls; its error is counted."""
    with telemetry.run("analysis"), telemetry.stage("ranking"):
        with telemetry.document("good") as document:
            document.score(0.9)
        with telemetry.document("bad") as document:
            if score_first:
                document.score(0)
            telemetry.record_fallback(Broken())
            if not score_first:
                document.score(0)
    rollup = recorded.run()

    assert (rollup.scores.count, rollup.scores.below_50, rollup.failed_documents) == (1, 0, 1)
    assert (rollup.status, rollup.errors) == ("partial_failure", {("ranking", BROKEN): 1})


@pytest.mark.parametrize("score_first", [True, False])
def test_fallback_may_be_recorded_on_another_visit(recorded: Recorded, score_first: bool) -> None:
    """The score is in no band, whichever visit of the document recorded the fallback."""
    with telemetry.run("analysis"):
        for is_score in (score_first, not score_first):
            with telemetry.document("a") as document:
                if is_score:
                    document.score(0.4)
                else:
                    telemetry.record_fallback("RateLimitError")
    rollup = recorded.run()

    assert (rollup.scores.count, rollup.failed_documents, rollup.status) == (0, 1, "failed")
    (row,) = recorded.rows(tables.documents)
    assert (row["score"], row["fallback"], row["outcome"]) == (0.4, True, "failed")


@pytest.mark.parametrize("has_ended", [False, True])
def test_facts_given_after_the_block_are_kept(recorded: Recorded, has_ended: bool) -> None:
    """A score, a length or a failure may be known only then, or even after the run ended."""
    run = telemetry.start_run("analysis", user_id=1)
    with telemetry.document("a", size=5) as scored:
        pass
    with telemetry.document("b", size=6) as failed:
        pass
    if has_ended:
        run.finish()
    scored.score(40, out_of=100)
    scored.describe(characters=9, chunks=2)
    failed.fail("Unreadable")
    run.finish()
    rollup = recorded.run()

    assert sorted((doc.size, doc.characters, doc.chunks, doc.score) for doc in rollup.documents) == [
        (5, 9, 2, 4000),
        (6, None, None, None),
    ]
    assert (rollup.scores.count, rollup.failed_documents, rollup.status) == (1, 1, "partial_failure")


def test_score_after_the_block_of_a_fallback_is_a_fallback(recorded: Recorded) -> None:
    """The fallback holds for a score that is given after the block."""
    with telemetry.run("analysis"):
        with telemetry.document("a") as document:
            telemetry.record_fallback("RateLimitError")
        document.score(0.4)

    assert recorded.run().scores.count == 0


@pytest.mark.parametrize("key", ["", "shared"])
def test_carrier_holds_the_key_that_identifies_documents(tmp_path: Path, key: str) -> None:
    """A document that two processes visit is one, even if each process has its own key."""
    with telemetry_process(tmp_path, key) as first:
        run = telemetry.start_run("analysis", user_id=1)
        carrier = run.carrier()
        with telemetry.document("a.pdf", size=5):
            pass
        run.detach()
        first_keys = keys(first)
    with telemetry_process(tmp_path, key) as second, telemetry.resume(carrier):
        with telemetry.document("a.pdf", size=5) as document:
            document.score(1)
        with telemetry.document("b.pdf", size=5) as document:
            document.score(1)
    second_keys = keys(second)

    assert len(first_keys | second_keys) == 2 and len(second_keys) == 2
    assert ("document_key" in carrier) == (not key)
    assert "a.pdf" not in str(carrier)


def test_each_run_has_its_own_document_key(tmp_path: Path) -> None:
    """A carrier reveals neither the keys of other runs nor the key of the process."""
    with telemetry_process(tmp_path, "") as process:
        carriers = []
        for _ in range(2):
            with telemetry.run("analysis", user_id=1) as run:
                carriers.append(run.carrier()["document_key"])

    assert len({*carriers, process.settings.hmac_key}) == 3


def keys(process: Any) -> set[str]:
    return {doc.key for final in process.finals for doc in final.documents or ()}


@contextmanager
def telemetry_process(folder: Path, key: str) -> Iterator[Any]:
    """Stand in for another process of the application: a pipeline of its own."""
    recorded: Any = recording(Settings(spool_dir=folder, hmac_key=key))
    with recorded as pipeline:
        pipeline.finals = []
        pipeline.on_end(pipeline.finals.append)
        yield pipeline


@pytest.mark.parametrize("fallback", [True, 1, "Zanzibar timed out"])
def test_fallback_may_be_given_with_the_score(recorded: Recorded, fallback: Any) -> None:
    """A reason that is given in place of True is not stored."""
    with telemetry.run("analysis"), telemetry.document("bad") as document:
        document.score(0, fallback=fallback)
    rollup = recorded.run()

    assert (rollup.scores.count, rollup.failed_documents, rollup.status) == (0, 1, "failed")
    assert [row["fallback"] for row in recorded.rows(tables.documents)] == [True]
    assert "Zanzibar" not in recorded.rows(tables.fragments)[0]["state"]


@pytest.mark.parametrize(("given", "kept"), [(Decimal(5), 5), ("5", 5), (5.0, 5), (uuid4(), None)])
def test_integers_of_any_type_are_accepted(recorded: Recorded, given: Any, kept: int | None) -> None:
    """Other values are left out, and the document is recorded without them."""
    with telemetry.run("analysis"):
        with telemetry.document("a", size=given, characters=given, chunks=given, row_id=given) as document:
            document.score(1)
        with telemetry.document("b") as document:
            document.describe(size=given, characters=given, chunks=given, row_id=given)
            document.score(1)
    rollup = recorded.run()

    assert [(doc.size, doc.characters, doc.chunks, doc.row_id) for doc in rollup.documents] == [
        (kept, kept, kept, kept)
    ] * 2
    assert rollup.scores.count == 2


@pytest.mark.parametrize("odd", [("application/pdf", None), b"pdf", 5])
def test_type_that_is_no_string_is_other(recorded: Recorded, odd: Any) -> None:
    """``mimetypes.guess_type``, for example, returns a pair; nothing is raised."""
    with telemetry.run("analysis", jd_type=odd):
        with telemetry.document("a", type=odd) as document:
            document.score(1)
        with telemetry.document("b") as document:
            document.describe(type=odd)
            document.score(1)
    rollup = recorded.run()

    assert (rollup.root.jd_type, [doc.type for doc in rollup.documents]) == ("other", ["other"] * 2)


def test_names_that_are_not_utf_8_are_accepted(recorded: Recorded) -> None:
    """Such file names stay distinct; in subjects and stages the characters are replaced."""
    with (
        telemetry.run("analysis", subject=("draft", "a\udcff\0b")),
        telemetry.stage("a\udcffb"),
    ):
        for name in ("cv \udcff.pdf", "cv \udcfe.pdf"):
            with telemetry.document(name) as document:
                document.score(1)
            with pytest.raises(Broken), telemetry.stage("a\udcffb"):
                raise Broken
    rollup = recorded.run()
    (row,) = recorded.rows(tables.runs)

    assert (rollup.status, rollup.scores.count, row["n_scored"]) == ("completed", 2, 2)
    assert (row["subject"], stages(rollup)) == ("draft:a?b", {"a?b"})
    assert rollup.errors == {("a?b", BROKEN): 2}


def test_undeclared_counters_count_as_other(record: Record) -> None:
    """Only declared names become labels, so that typing errors cannot fill the metrics."""
    recorded = record(counters=("app_retries", "first_keys"))
    with telemetry.run("intake"):
        telemetry.count("app_retries", 3)
        telemetry.count("first_keys")
        telemetry.count("somebody@example.com")

    assert recorded.run().counters == {"app_retries": 3, "first_keys": 1, "other": 1}


def test_no_text_of_the_application_is_stored(recorded: Recorded, client: OpenAI) -> None:
    """Neither prompts, answers, file names nor error messages reach the database or the spool."""
    with telemetry.run("analysis"), telemetry.stage("ranking"):
        with telemetry.document("Zanzibar cv.pdf") as document:
            ask(client, "Describe Zanzibar")
            telemetry.record_fallback(Broken("Zanzibar"))
            document.fail(Broken("Zanzibar"))
    assert recorded.run().documents

    for path in recorded.path.parent.rglob("*"):
        assert not path.is_file() or b"Zanzibar" not in path.read_bytes()
    assert len(recorded.rows(tables.documents)) == 1
