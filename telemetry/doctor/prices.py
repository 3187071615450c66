"""Check which prices are used, and how old they are."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from telemetry.pricing import price_list
from telemetry.settings import SettingsError
from telemetry.setup.compatibility import installed

from .check import Answer, Check, Patient

OLD_LIST_DAYS: Final = 180
"""A list is old if it has no price change in so many days."""
OLD_FILE_DAYS: Final = 365
SHOWN: Final = 3


def check_prices(patient: Patient) -> Answer:
    """Check which prices are used."""
    today = datetime.now(UTC).date()
    yield _list(today)
    path = patient.settings.prices_file if patient.settings else None
    if path is not None:
        yield from _file(path, today)


def _list(today: date) -> Check:
    version, listed = installed("genai-prices"), price_list.snapshot()
    if version is None or listed is None:
        remedy = "pip install 'analysis-telemetry[openai]'"
        return Check("bad", "prices", "there is no price list: calls are unpriced", remedy)
    newest = price_list.newest_change(listed, today)
    if newest is None:
        return Check("good", "prices", f"list of genai-prices {version}")
    days = (today - newest).days
    text = f"list of genai-prices {version}, which knows changes up to {newest}, {days} days ago"
    if days > OLD_LIST_DAYS:
        remedy = "pip install --upgrade genai-prices, then flask telemetry reprice"
        return Check("note", "prices", f"{text}: newer models may be unpriced", remedy)
    return Check("good", "prices", text)


def _file(path: Path, today: date) -> Answer:
    from telemetry.pricing.prices import read_price_file

    try:
        file = read_price_file(path)
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    except (SettingsError, OSError) as error:
        yield Check("bad", "prices", f"{error}: calls are unpriced", "correct TELEMETRY_PRICES_FILE")
        return
    days = (today - changed).days
    text = f"{path}, version {file.version}, changed {days} days ago, overrides the list"
    if days > OLD_FILE_DAYS:
        yield Check("note", "prices", text, "check whether its prices are still valid, and touch it")
    else:
        yield Check("good", "prices", text)
    if ended := file.ended(today):
        names = list(dict.fromkeys(price.model for price in ended))
        shown = ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
        text = f"{len(ended)} prices in {path} have ended, and none follows: {shown}"
        remedy = "add the current ones, then flask telemetry reprice"
        yield Check("bad", "prices", text, remedy)
