"""The page on the stack names what there is."""

from __future__ import annotations

import re

from tests.stack import files
from tools.compose.up import ADDRESSES

PAGE = (files.ROOT / "docs" / "how-to" / "stack.md").read_text()


def rows(prefix: str) -> dict[str, str]:
    """Return the variables in the tables with the first value of their row."""
    found = re.findall(rf"^\| (`{prefix}_\w+`(?:, `{prefix}_\w+`)*) \| (.*?) \|", PAGE, re.MULTILINE)
    return {
        name: value
        for names, values in found
        for name, value in zip(
            re.findall(r"`(\w+)`", names), re.findall(r"`?([^`,]+)`?", values), strict=False
        )
    }


def test_services() -> None:
    """Each has its row."""
    named = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \| ", PAGE, re.MULTILINE)

    assert {name for names in named for name in re.findall(r"`([a-z-]+)`", names)} == set(files.services())


def test_variables_of_grafana() -> None:
    """All that the data sources need, with the values of docker-compose.yml."""
    given = {
        name: value for name, value in files.environment("grafana").items() if name.startswith("ANALYSIS_")
    }
    described = rows("ANALYSIS")

    assert described.keys() == given.keys()
    assert {name for name in given if described[name] != given[name]} == {"ANALYSIS_POSTGRES_PASSWORD"}


def test_variables_of_jaeger() -> None:
    """All that its configuration reads, with the defaults there."""
    text = (files.ROOT / "jaeger" / "jaeger.yaml").read_text()
    used = dict(re.findall(r"\$\{env:(JAEGER_\w+):-([^}]*)\}", text))
    described = re.findall(r"^\| (`JAEGER_\w+`(?:, `JAEGER_\w+`)*) \| (.*?) \|", PAGE, re.MULTILINE)

    assert len(used) == 7
    assert used == {
        name: default
        for names, defaults in described
        for name, default in zip(
            re.findall(r"`(\w+)`", names), re.findall(r"`([^`]+)`", defaults), strict=True
        )
    }


def test_addresses() -> None:
    """Those that `make up` prints are shown as it prints them."""
    assert all(f"  {each.what:20} http://127.0.0.1:{each.port}" in PAGE for each in ADDRESSES)


def test_secrets() -> None:
    """It says of each what else to do to change it."""
    secrets = {name for name, value in files.documented().items() if not value}

    assert {name for name in secrets if f"| `{name}` |" not in PAGE} == set()
