"""The fixtures of the tests of the API: a pipeline for each test, and clients of the stand-in."""

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
