"""The proof of the stack finds a service that starts too early."""

from __future__ import annotations

from typing import Any

from tests.stack.proof.order import out_of_order


def event(service: str, action: str, when: int, code: str = "0") -> dict[str, Any]:
    attributes = {"com.docker.compose.service": service, "exitCode": code}
    return {"Action": action, "Actor": {"Attributes": attributes}, "timeNano": when}


POSTGRES = [event("postgres", "start", 1), event("postgres", "health_status: healthy", 5)]


def test_in_order() -> None:
    """What waits until its database is healthy is in order, its restart later on, and what builds images."""
    step = {"Action": "start", "Actor": {"Attributes": {"image": "sha256:1"}}, "timeNano": 1}

    assert out_of_order([step, *POSTGRES, event("migrate", "start", 6), event("migrate", "start", 99)]) == []


def test_too_early() -> None:
    """Before it is healthy, or before what is to be done once was done, and successfully."""
    early = [POSTGRES[0], event("migrate", "start", 2), POSTGRES[1], event("migrate", "die", 7, code="1")]

    assert out_of_order(early) == ["migrate started before postgres was ready (service_healthy)"]
    failed = [*early, event("grafana", "start", 8)]
    assert "grafana started before migrate was ready (service_completed_successfully)" in out_of_order(failed)


def test_a_profile_that_does_not_run() -> None:
    """What is not required and not there is not waited for."""
    others = [
        *POSTGRES,
        event("migrate", "start", 6),
        event("migrate", "die", 7),
        event("collector", "start", 8),
        event("worker", "start", 9),
    ]

    assert [line for line in out_of_order(others) if "standin" in line] == []
