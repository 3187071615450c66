"""The fixtures of the tests of the API and of the whole system."""

from __future__ import annotations

from tests.end_to_end.conftest import new_database
from tests.telemetry.conftest import migrated_sqlite, record, recorded

__all__ = ["migrated_sqlite", "new_database", "record", "recorded"]
