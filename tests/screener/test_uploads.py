"""Uploading job descriptions and résumés."""

from __future__ import annotations

import pytest
from flask import Flask

from examples.screener.client import ScreenerClient, ScreenerError
from examples.screener.standin.client import StandIn
from tests.screener.makers import JD, MAKERS, change, damaged_pdf, pdf, resume_text, resumes, rows


@pytest.mark.parametrize("kind", ["txt", "docx", "pdf"])
def test_job_description_gives_criteria(user: ScreenerClient, standin: StandIn, kind: str) -> None:
    """Uploading a job description of any type makes one call for its criteria."""
    criteria = user.upload_jd(user.create_draft("Engineer"), f"jd.{kind}", MAKERS[kind](JD))
    assert len(criteria) >= 4
    assert all(criterion["name"] and criterion["description"] for criterion in criteria)
    assert [attempt["task"] for attempt in standin.ledger()["attempts"]] == ["criteria"]


def test_each_resume_is_read_and_named_by_one_call(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """One POST may hold many files; text, name and hash of each are stored, with one call for the name."""
    received = user.upload_resumes(draft, resumes(5))
    assert [item["outcome"] for item in received] == ["stored"] * 5
    stored = rows(app, "SELECT candidate_name, extracted_text, content_hash FROM draft_resumes ORDER BY id")
    assert [row["candidate_name"] for row in stored] == [
        "Ada Abel",
        "Ben Bauer",
        "Cleo Costa",
        "Dara Dunne",
        "Emil Ek",
    ]
    assert all("Backend engineer" in str(row["extracted_text"]) for row in stored)
    assert len({row["content_hash"] for row in stored}) == 5
    assert [a["task"] for a in standin.ledger()["attempts"]] == ["criteria"] + ["name"] * 5


def test_duplicate_is_stored_once_and_reported(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """The same content under another name is recognised, within one upload and later, without a call."""
    data = pdf(resume_text(2))
    first = user.upload_resumes(draft, [("cleo.pdf", data), ("copy of cleo.pdf", data)])
    again = user.upload_resumes(draft, [("cleo (3).pdf", data)])
    assert [(item["outcome"], item["detail"]) for item in first + again] == [
        ("stored", ""),
        ("duplicate", "cleo.pdf"),
        ("duplicate", "cleo.pdf"),
    ]
    assert len(rows(app, "SELECT id FROM draft_resumes")) == 1
    assert [a["task"] for a in standin.ledger()["attempts"]].count("name") == 1


def test_the_same_resume_may_be_in_two_drafts(user: ScreenerClient, draft: int) -> None:
    """Only files of the same draft are duplicates."""
    other = user.create_draft("Another position")
    for number in (draft, other):
        assert user.upload_resumes(number, resumes(1))[0]["outcome"] == "stored"


def test_damaged_file_is_stored_with_the_reason(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """It does not affect other files, and no call is made for its name."""
    received = user.upload_resumes(draft, [("broken.pdf", damaged_pdf()), *resumes(1)])
    assert [item["outcome"] for item in received] == ["unreadable", "stored"]
    broken = rows(app, "SELECT extracted_text, error FROM draft_resumes WHERE file_name = 'broken.pdf'")
    assert broken[0]["extracted_text"] is None
    assert str(broken[0]["error"]).startswith("broken.pdf: ")
    assert [a["task"] for a in standin.ledger()["attempts"]].count("name") == 1


def test_unreadable_job_description_changes_nothing(user: ScreenerClient, draft: int, app: Flask) -> None:
    """The draft keeps its job description."""
    with pytest.raises(ScreenerError, match="broken.pdf: the file is damaged"):
        user.upload_jd(draft, "broken.pdf", damaged_pdf())
    assert rows(app, "SELECT jd_file_name FROM drafts") == [{"jd_file_name": "jd.txt"}]


@pytest.mark.parametrize("fault", [{"status": 500}, {"bad_json": True}])
def test_intake_uses_defaults_without_a_usable_answer(
    app: Flask, user: ScreenerClient, standin: StandIn, fault: dict[str, object]
) -> None:
    """When OpenAI fails for good, one general criterion and the file name are used instead."""
    standin.faults([fault | {"match": {"task": task}} for task in ("criteria", "name")])
    draft = user.create_draft("Engineer")
    change(app, app_retries=0)  # the client's own repeats take seconds
    assert [c["name"] for c in user.upload_jd(draft, "jd.txt", JD.encode())] == ["Overall fit"]
    user.upload_resumes(draft, [("ada_abel.txt", resume_text(0).encode())])
    assert rows(app, "SELECT candidate_name FROM draft_resumes") == [{"candidate_name": "ada abel"}]


def test_missing_api_key_is_named(user: ScreenerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says which setting is missing."""
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ScreenerError, match="OPENAI_API_KEY"):
        user.upload_jd(user.create_draft("Engineer"), "jd.txt", JD.encode())


def test_file_names_of_any_kind_are_stored(app: Flask, user: ScreenerClient, draft: int) -> None:
    """Folders are removed, and long names shortened at the front; letters of all scripts are kept."""
    names = ["cv/Ada.txt", "Резюме Петрова.txt", "x" * 300 + ".txt"]
    user.upload_resumes(draft, [(name, resume_text(i).encode()) for i, name in enumerate(names)])
    stored = [str(row["file_name"]) for row in rows(app, "SELECT file_name FROM draft_resumes ORDER BY id")]
    assert stored[:2] == ["Ada.txt", "Резюме Петрова.txt"]
    assert len(stored[2]) == 255
    assert stored[2].endswith(".txt")
