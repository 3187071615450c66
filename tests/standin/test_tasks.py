"""The screener's tasks, asked as the screener asks them."""

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


def test_criteria_are_what_the_job_description_asks_for(client: OpenAI) -> None:
    """The lines below "What you bring" become criteria, wrapped lines whole; duties and benefits do not."""
    criteria = ask(client, "criteria", JD)["criteria"]

    assert 4 <= len(criteria) <= 6
    assert criteria[0]["name"] == "Python and Flask"
    assert criteria[0]["description"] == "Strong Python and Flask, in services that many people depend on."
    assert [each["name"] for each in criteria[1:3]] == ["PostgreSQL", "Message queues such as Kafka or"]
    assert not any("on-call" in each["description"] for each in criteria)


def test_a_job_description_without_a_list_gets_criteria_from_its_words(client: OpenAI) -> None:
    """Where nothing is asked for, the main words stand in."""
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
def test_a_resume_is_named_after_its_first_name_line(client: OpenAI, head: str, name: str) -> None:
    """Titles, places and addresses are passed over."""
    assert ask(client, "name", head) == {"name": name}


def test_scores_follow_the_overlap_with_the_criterion(client: OpenAI) -> None:
    """The engineer stands above 70, the chef below 50, a passing mention between them."""
    criterion = "# Criterion\nPython: Builds services with Python and Flask\n\n# Résumé\n"
    engineer, mention, chef = (
        ask(client, "rank", criterion + resume)["score"]
        for resume in (ENGINEER, CHEF + "\nOnce wrote a little Python.", CHEF)
    )

    assert engineer > 70 > mention > chef
    assert chef < 50


def test_a_heading_inside_a_resume_does_not_cut_it_short(client: OpenAI) -> None:
    """Text below a résumé's own headings counts."""
    asked = f"# Criterion\nKafka: idempotent consumers\n\n# Résumé\n{ENGINEER}"

    assert ask(client, "rank", asked)["score"] > 70


def test_insights_tell_strengths_and_gaps_apart(client: OpenAI) -> None:
    """What the résumé speaks of is a strength, what it leaves out is a gap."""
    jd = "What we expect\n* Python services with Flask, by night.\n* Terraform, applied with some patience."
    insights = ask(client, "insights", f"# Job description\n{jd}\n\n# Résumé\n{ENGINEER}")

    assert "Shows experience with python." in insights["strengths"]
    assert "Says little about terraform." in insights["gaps"]
    assert insights["summary"]


def test_an_unknown_task_is_answered_all_the_same(standin: StandIn, client: OpenAI) -> None:
    """JSON is given when it is asked for, and the ledger names the task."""
    assert "cats" in ask(client, "haiku", "cats, cats and dogs")["answer"]
    assert standin.ledger()["attempts"][-1]["task"] == "haiku"
