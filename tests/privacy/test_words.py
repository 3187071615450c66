"""Words that the application gives: names of kinds are kept, those that may be of people are not."""

from __future__ import annotations

import pytest

import telemetry
from tests.privacy.canaries import ATTACHED, EMAIL, FILE, NAME, found_in
from tests.telemetry.recordings import Recorded

TEXTS = [f"{ATTACHED} failed", FILE, EMAIL, f"{NAME}: not found", "", "7 errors"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_no_type(recorded: Recorded, text: str) -> None:
    """Who says the text of an error instead of its type has it counted as an error, and no more."""
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
def test_a_word_is_a_type(recorded: Recorded, word: str) -> None:
    """A single word is the type of an error."""
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
def test_types_of_files_are_known_ones(recorded: Recorded, given: str, kept: str | None) -> None:
    """What follows the last dot of a file's name is its type only if it is a known one."""
    with telemetry.run("intake"):
        with telemetry.document("one", type=given):
            pass
        with telemetry.document("other") as document:
            document.describe(type=given)

    assert [document.type for document in recorded.run().documents] == [kept, kept]
