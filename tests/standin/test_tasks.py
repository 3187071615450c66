"""The screener's tasks, in prompts like the screener's."""

import json
from typing import Any

import pytest
from openai import OpenAI

from examples.screener.standin.client import StandIn

JD = """\
SENIOR BACKEND ENGINEER
We move parcels for small shops.

What you will do
----------------
* Run the on-call rota with the team.

What you bring
--------------
* Strong Python and Flask, in services
  that many people depend on.
* PostgreSQL: query plans, indexes, safe migrations.
* Message queues such as Kafka or RabbitMQ, and idempotent consumers.
* Containers and a cloud: Docker, Kubernetes, Terraform.
* Clear written English, and patience with people.

What we offer
-------------
* Thirty days of holiday and experience with parcels.
"""
ENGINEER = """\
# Anna Berg
Backend engineer. Built Flask services in Python for eight years; Python and Flask daily, for many people.
## Skills
PostgreSQL migrations, query plans and indexes. Kafka queues with idempotent consumers.
"""
CHEF = "Paul Roux\nPastry chef. Croissants, tarts, wedding cakes; ran a kitchen of four."


def ask(client: OpenAI, task: str, text: str) -> dict[str, Any]:
    completion = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": f"Task: {task}\nAnswer with one JSON object."},
            {"role": "user", "content": text},
        ],
        response_format={"type": "json_object"},
    )
    answer: dict[str, Any] = json.loads(completion.choices[0].message.content or "")
    return answer


def test_criteria_are_the_requirements_of_the_job_description(client: OpenAI) -> None:
    """The items below "What you bring" become criteria, but not duties and benefits."""
    criteria = ask(client, "criteria", JD)["criteria"]

    assert 4 <= len(criteria) <= 6
    assert criteria[0]["name"] == "Python and Flask"
    assert criteria[0]["description"] == "Strong Python and Flask, in services that many people depend on."
    assert [criterion["name"] for criterion in criteria[1:3]] == [
        "PostgreSQL",
        "Message queues such as Kafka or",
    ]
    assert not any("on-call" in criterion["description"] for criterion in criteria)


def test_criteria_without_a_list_are_the_main_words(client: OpenAI) -> None:
    """A job description without requirements gets its most frequent words as criteria."""
    criteria = ask(client, "criteria", "Bakery seeks pastry chef for tarts, tarts and more tarts.")[
        "criteria"
    ]

    assert len(criteria) >= 4
    assert criteria[0]["name"] == "Tarts"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("Anna Berg\nBackend engineer", "Anna Berg"),
        ("CURRICULUM VITAE\n\nZOË MARCHETTI\nWarehouse Manager", "Zoë Marchetti"),
        (
            "Göteborg, Sweden\nanna@example.org\n+1 202 555 0102\nPython, Go\nDaniel O'Hara-Lind",
            "Daniel O'Hara-Lind",
        ),
        ("Name: Maria de la Cruz (she/her) | Lisbon", "Maria de la Cruz"),
        ("nothing here", "Unknown Candidate"),
    ],
)
def test_name_of_a_resume_is_its_first_line_with_a_name(client: OpenAI, head: str, name: str) -> None:
    """Titles, places and addresses are skipped."""
    assert ask(client, "name", head) == {"name": name}


def test_scores_follow_the_overlap_with_the_criterion(client: OpenAI) -> None:
    """The engineer scores above 70, the chef below 50, and a passing mention between them."""
    criterion = "# Criterion\nPython: Builds services with Python and Flask\n\n# Résumé\n"
    engineer, mention, chef = (
        ask(client, "rank", criterion + resume)["score"]
        for resume in (ENGINEER, CHEF + "\nOnce wrote a little Python.", CHEF)
    )

    assert engineer > 70 > mention > chef
    assert chef < 50


def test_heading_within_a_resume_does_not_truncate_it(client: OpenAI) -> None:
    """Text below a résumé's own headings counts."""
    prompt = f"# Criterion\nKafka: idempotent consumers\n\n# Résumé\n{ENGINEER}"

    assert ask(client, "rank", prompt)["score"] > 70


def test_insights_have_strengths_and_gaps(client: OpenAI) -> None:
    """A requirement that the résumé mentions is a strength, and any other is a gap."""
    jd = "What we expect\n* Python services with Flask, by night.\n* Terraform, applied with some patience."
    insights = ask(client, "insights", f"# Job description\n{jd}\n\n# Résumé\n{ENGINEER}")

    assert "Shows experience with python." in insights["strengths"]
    assert "Says little about terraform." in insights["gaps"]
    assert insights["summary"]


def test_unknown_task_is_answered(standin: StandIn, client: OpenAI) -> None:
    """The answer is JSON if that is requested, and the ledger names the task."""
    assert "cats" in ask(client, "haiku", "cats, cats and dogs")["answer"]
    assert standin.ledger()["attempts"][-1]["task"] == "haiku"
