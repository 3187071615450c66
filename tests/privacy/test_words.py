"""Words given by the application: names of types are stored, words that may be personal are not."""

from __future__ import annotations

import pytest

import telemetry
from tests.privacy.canaries import ATTACHED, EMAIL, FILE, NAME, found_in
from tests.telemetry.recordings import Recorded

TEXTS = [f"{ATTACHED} failed", FILE, EMAIL, f"{NAME}: not found", "", "7 errors"]


@pytest.mark.parametrize("text", TEXTS)
def test_error_given_as_text_has_no_type(recorded: Recorded, text: str) -> None:
    """It counts as `error`; the text is not stored."""
    with telemetry.run("intake"):
        with telemetry.stage("ranking"), telemetry.document("cv") as document:
            document.fail(text)
            telemetry.record_fallback(text)
        telemetry.start_run("late").fail(text)
        telemetry.fail_current_run(text)
    runs = recorded.runs()

    assert {kind for run in runs for _, kind in run.errors} == {"error"}
    assert found_in(repr(runs)) == []


@pytest.mark.parametrize("word", ["UnreadableDocument", "host.errors.Unreadable", "http_429"])
def test_error_given_as_one_word_has_it_as_type(recorded: Recorded, word: str) -> None:
    """A single word, dotted or not, is taken as the name of a type."""
    with telemetry.run("intake"):
        telemetry.record_fallback(word)

    assert recorded.run().errors == {("unattributed", word): 1}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("pdf", "pdf"),
        (".PDF", "pdf"),
        ("application/pdf", "pdf"),
        ("Okapi-Quagga", "other"),
        (f"for {NAME}", "other"),
        ("", None),
    ],
)
def test_unknown_file_types_are_other(recorded: Recorded, given: str, kept: str | None) -> None:
    """Only known types are stored, since others may be part of a file name."""
    with telemetry.run("intake"):
        with telemetry.document("one", type=given):
            pass
        with telemetry.document("other") as document:
            document.describe(type=given)

    assert [document.type for document in recorded.run().documents] == [kept, kept]
