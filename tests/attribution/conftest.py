"""The fixtures of the API's tests: a pipeline for each test, and real clients in front of the stand-in."""

from __future__ import annotations

from tests.telemetry.conftest import (
    async_client,
    client,
    ledger,
    migrated_sqlite,
    record,
    recorded,
    service,
)

__all__ = ["async_client", "client", "ledger", "migrated_sqlite", "record", "recorded", "service"]
