"""Documents, scores, counters and degraded answers, and that no text of them is kept."""

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
    return [(each.size, each.characters, each.type, each.score, each.outcome) for each in run.documents]


def test_documents(recorded: Recorded) -> None:
    """A document keeps its size, length, type and score, which may be of 1 or of 100."""
    with telemetry.run("analysis"):
        with telemetry.document("a.PDF", size=100, type=".PDF") as document:
            document.describe(characters=50, chunks=2)
            document.score(85, out_of=100)
        with telemetry.document("b.docx", size=200) as document:
            document.describe(type="DOCX")
            document.score(0.85)
    found = recorded.run()

    assert sorted(documents(found)) == [(100, 50, "pdf", 8500, "scored"), (200, None, "docx", 8500, "scored")]
    assert found.scores.above_70 == 2


@pytest.mark.parametrize("percent", [0, 1, 29, 49.99, 50, 69.99, 70, 100])
def test_scores_of_one_and_of_a_hundred_agree(recorded: Recorded, percent: float) -> None:
    """A score is the same whether the application counts to 1 or to 100."""
    with telemetry.run("analysis"):
        with telemetry.document("a") as document:
            document.score(percent, out_of=100)
        with telemetry.document("b") as document:
            document.score(round(percent / 100, 6))
    one, other = recorded.run().documents

    assert one.score == other.score == round(percent * 100)


def test_visits_are_joined_and_namesakes_are_not(recorded: Recorded) -> None:
    """The same name with another size is another document; the same document may be visited often."""
    with telemetry.run("analysis"):
        with telemetry.stage("extraction"):
            for size in (10, 20):
                with telemetry.document("cv.pdf", size=size, characters=size * 2):
                    pass
        with telemetry.stage("ranking"):
            for size in (10, 20):
                with telemetry.document("cv.pdf", size=size) as document:
                    document.score(size, out_of=100)
    found = recorded.run()

    assert documents(found) == [(10, 20, None, 1000, "scored"), (20, 40, None, 2000, "scored")]
    assert all(each.extraction_us is not None and each.analysis_us is not None for each in found.documents)


def test_failed_and_duplicate_documents(recorded: Recorded) -> None:
    """A document fails by the exception that leaves it or by a word; a copy is no failure."""
    with telemetry.run("analysis"):
        with pytest.raises(Broken), telemetry.document("a"):
            raise Broken
        with telemetry.document("b") as document:
            document.fail("Unreadable")
        with telemetry.document("c") as document:
            document.duplicate()
        with telemetry.document("d") as document:
            document.score(1)
    found = recorded.run()

    assert (found.status, found.failed_documents, found.duplicates, found.scores.count) == (
        "partial_failure",
        2,
        1,
        1,
    )
    assert found.errors == {("unattributed", BROKEN): 1, ("unattributed", "Unreadable"): 1}
    assert {each.error_type for each in found.documents} == {BROKEN, "Unreadable", None}


@pytest.mark.parametrize(("score", "out_of"), [(85, 1), (1.5, 1), (-0.2, 1), (101, 100), (float("inf"), 1)])
def test_a_score_out_of_range_is_no_score(recorded: Recorded, score: float, out_of: float) -> None:
    """85 of 1 is 85 of 100 to whoever wrote it, and nobody knows: it is in no band and no average."""
    with telemetry.run("analysis", candidates=1), telemetry.document("cv.pdf") as document:
        document.score(score, out_of=out_of)

    (found,) = recorded.runs()
    assert (found.scores.count, found.scores.average) == (0, None)


@pytest.mark.parametrize("score_first", [True, False])
def test_degraded_marks_a_fallback(recorded: Recorded, score_first: bool) -> None:
    """A score that stands in for an answer is in no band, whichever is said first; its error is counted."""
    with telemetry.run("analysis"), telemetry.stage("ranking"):
        with telemetry.document("good") as document:
            document.score(0.9)
        with telemetry.document("bad") as document:
            if score_first:
                document.score(0)
            telemetry.record_fallback(Broken())
            if not score_first:
                document.score(0)
    found = recorded.run()

    assert (found.scores.count, found.scores.below_50, found.failed_documents) == (1, 0, 1)
    assert (found.status, found.errors) == ("partial_failure", {("ranking", BROKEN): 1})


@pytest.mark.parametrize("score_first", [True, False])
def test_a_fallback_marked_on_another_visit(recorded: Recorded, score_first: bool) -> None:
    """A score stays out of the bands, whichever visit of the document was marked."""
    with telemetry.run("analysis"):
        for is_score in (score_first, not score_first):
            with telemetry.document("a") as document:
                if is_score:
                    document.score(0.4)
                else:
                    telemetry.record_fallback("RateLimitError")
    found = recorded.run()

    assert (found.scores.count, found.failed_documents, found.status) == (0, 1, "failed")
    (row,) = recorded.rows(tables.documents)
    assert (row["score"], row["fallback"], row["outcome"]) == (0.4, True, "failed")


@pytest.mark.parametrize("has_ended", [False, True])
def test_what_is_told_after_the_block_is_kept(recorded: Recorded, has_ended: bool) -> None:
    """A score, a length or a failure may be known only then, even after the run has ended."""
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
    found = recorded.run()

    assert sorted((each.size, each.characters, each.chunks, each.score) for each in found.documents) == [
        (5, 9, 2, 4000),
        (6, None, None, None),
    ]
    assert (found.scores.count, found.failed_documents, found.status) == (1, 1, "partial_failure")


def test_a_score_after_a_marked_block_is_a_fallback(recorded: Recorded) -> None:
    """The mark stays, also where the score comes after the block."""
    with telemetry.run("analysis"):
        with telemetry.document("a") as document:
            telemetry.record_fallback("RateLimitError")
        document.score(0.4)

    assert recorded.run().scores.count == 0


@pytest.mark.parametrize("key", ["", "shared"])
def test_a_carrier_brings_the_key_of_its_documents(tmp_path: Path, key: str) -> None:
    """A document that two processes visit is one, also where each process has a key of its own."""
    with telemetry_process(tmp_path, key) as first:
        run = telemetry.start_run("analysis", user_id=1)
        carrier = run.carrier()
        with telemetry.document("a.pdf", size=5):
            pass
        run.detach()
        ours = keys(first)
    with telemetry_process(tmp_path, key) as second, telemetry.resume(carrier):
        with telemetry.document("a.pdf", size=5) as document:
            document.score(1)
        with telemetry.document("b.pdf", size=5) as document:
            document.score(1)
    theirs = keys(second)

    assert len(ours | theirs) == 2 and len(theirs) == 2
    assert ("document_key" in carrier) == (not key)
    assert "a.pdf" not in str(carrier)


def test_each_run_has_a_key_of_its_own(tmp_path: Path) -> None:
    """What a carrier tells says nothing of the documents of other runs, nor what the process hashes with."""
    with telemetry_process(tmp_path, "") as process:
        carriers = []
        for _ in range(2):
            with telemetry.run("analysis", user_id=1) as run:
                carriers.append(run.carrier()["document_key"])

    assert len({*carriers, process.settings.hmac_key}) == 3


def keys(process: Any) -> set[str]:
    return {each.key for final in process.finals for each in final.documents or ()}


@contextmanager
def telemetry_process(folder: Path, key: str) -> Iterator[Any]:
    """What another process of the application would be: a pipeline of its own."""
    recorded: Any = recording(Settings(spool_dir=folder, hmac_key=key))
    with recorded as pipeline:
        pipeline.finals = []
        pipeline.on_end(pipeline.finals.append)
        yield pipeline


@pytest.mark.parametrize("fallback", [True, 1, "Zanzibar timed out"])
def test_fallback_said_with_the_score(recorded: Recorded, fallback: Any) -> None:
    """The application may mark the score itself; of a reason given in its place no word is kept."""
    with telemetry.run("analysis"), telemetry.document("bad") as document:
        document.score(0, fallback=fallback)
    found = recorded.run()

    assert (found.scores.count, found.failed_documents, found.status) == (0, 1, "failed")
    assert [row["fallback"] for row in recorded.rows(tables.documents)] == [True]
    assert "Zanzibar" not in recorded.rows(tables.fragments)[0]["state"]


@pytest.mark.parametrize(("told", "kept"), [(Decimal(5), 5), ("5", 5), (5.0, 5), (uuid4(), None)])
def test_numbers_of_any_type(recorded: Recorded, told: Any, kept: int | None) -> None:
    """What is an integer is one, whatever its type; what is none is left out, and the document kept."""
    with telemetry.run("analysis"):
        with telemetry.document("a", size=told, characters=told, chunks=told, row_id=told) as document:
            document.score(1)
        with telemetry.document("b") as document:
            document.describe(size=told, characters=told, chunks=told, row_id=told)
            document.score(1)
    found = recorded.run()

    assert [(each.size, each.characters, each.chunks, each.row_id) for each in found.documents] == [
        (kept, kept, kept, kept)
    ] * 2
    assert found.scores.count == 2


@pytest.mark.parametrize("odd", [("application/pdf", None), b"pdf", 5])
def test_a_type_that_is_no_text(recorded: Recorded, odd: Any) -> None:
    """What ``mimetypes.guess_type`` returns is a pair: the type is `other`, and nothing is raised."""
    with telemetry.run("analysis", jd_type=odd):
        with telemetry.document("a", type=odd) as document:
            document.score(1)
        with telemetry.document("b") as document:
            document.describe(type=odd)
            document.score(1)
    found = recorded.run()

    assert (found.root.jd_type, [each.type for each in found.documents]) == ("other", ["other"] * 2)


def test_names_that_are_no_utf_8(recorded: Recorded) -> None:
    """A file name in another encoding is a name like any other; of a subject or stage, the rest is kept."""
    with (
        telemetry.run("analysis", subject=("draft", "a\udcff\0b")),
        telemetry.stage("a\udcffb"),
    ):
        for name in ("cv \udcff.pdf", "cv \udcfe.pdf"):
            with telemetry.document(name) as document:
                document.score(1)
            with pytest.raises(Broken), telemetry.stage("a\udcffb"):
                raise Broken
    found = recorded.run()
    (row,) = recorded.rows(tables.runs)

    assert (found.status, found.scores.count, row["n_scored"]) == ("completed", 2, 2)
    assert (row["subject"], stages(found)) == ("draft:a?b", {"a?b"})
    assert found.errors == {("a?b", BROKEN): 2}


def test_counters_are_declared(record: Record) -> None:
    """A declared name is counted as it is, any other as `other`: a typing error cannot fill the metrics."""
    recorded = record(counters=("app_retries", "ours"))
    with telemetry.run("intake"):
        telemetry.count("app_retries", 3)
        telemetry.count("ours")
        telemetry.count("somebody@example.com")

    assert recorded.run().counters == {"app_retries": 3, "ours": 1, "other": 1}


def test_no_text_of_the_application_is_kept(recorded: Recorded, client: OpenAI) -> None:
    """Neither prompt nor answer, neither file name nor message reaches the database or the spool."""
    with telemetry.run("analysis"), telemetry.stage("ranking"):
        with telemetry.document("Zanzibar cv.pdf") as document:
            ask(client, "Describe Zanzibar")
            telemetry.record_fallback(Broken("Zanzibar"))
            document.fail(Broken("Zanzibar"))
    assert recorded.run().documents

    for path in recorded.path.parent.rglob("*"):
        assert not path.is_file() or b"Zanzibar" not in path.read_bytes()
    assert len(recorded.rows(tables.documents)) == 1
