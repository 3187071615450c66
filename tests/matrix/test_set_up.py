"""Work that set-up must do before the first call."""

from __future__ import annotations

import subprocess
import sys

FIRST_PRICE = """
import sys
from telemetry.pricing import Tokens, default_pricer
from telemetry.settings import Settings

price = default_pricer(Settings())
before = set(sys.modules)
assert price("openai", "gpt-5-mini", Tokens(input=1, output=1), 1_760_000_000 * 10**9, "")
print(*sorted(set(sys.modules) - before))
"""


def test_first_price_imports_no_http_client() -> None:
    """The price list is imported at set-up, since openai 2 fails while another thread imports ``httpx2``."""
    done = subprocess.run([sys.executable, "-c", FIRST_PRICE], capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if name.startswith("httpx")] == []
