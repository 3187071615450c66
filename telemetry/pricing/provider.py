"""Which provider bills a request: a price of one provider never applies to another.

The address of a request decides, not only the class of the client, because the ``OpenAI`` client also works
with Azure, other services and self-hosted servers. A loopback address counts as OpenAI (a proxy or a test
server). TELEMETRY_OPENAI_HOSTS names other hosts that forward requests to OpenAI.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

OPENAI: Final = "openai"
OPENAI_REGIONAL: Final = "openai-regional"
"""OpenAI with regional processing, which costs more with newer models."""
AZURE: Final = "azure"
OTHER: Final = "other"
"""Any other provider; only the price file has prices for it."""
PROVIDERS: Final = (OPENAI, OPENAI_REGIONAL, AZURE, OTHER)

_OPENAI_HOST: Final = "api.openai.com"
_AZURE_HOSTS: Final = (
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
    ".azure-api.net",
)
"""Suffixes of host names; Azure's government and China clouds have their own prices."""

_LONGEST: Final = 128
_log = logging.getLogger("telemetry")
_openai_hosts: frozenset[str] = frozenset()


def use_openai_hosts(names: Iterable[str]) -> None:
    """Treat ``names`` as hosts of OpenAI from now on: they forward requests to it."""
    global _openai_hosts
    _openai_hosts = frozenset(name.lower() for name in names)
    provider_of.cache_clear()


@lru_cache(1024)
def provider_of(host: str, is_azure_client: bool = False) -> str:
    """Return the one of :data:`PROVIDERS` that a request goes to; log one line for each unknown host.

    Args:
        host: host name or address of the request.
        is_azure_client: whether one of the client's Azure classes sends it, at whatever address.
    """
    name = host.lower().rstrip(".")
    provider = _owner_of(name, is_azure_client)
    if provider == OTHER:
        _log.warning(
            "calls to %s are priced only by TELEMETRY_PRICES_FILE; if this host forwards requests to OpenAI,"
            " at its prices, add it to TELEMETRY_OPENAI_HOSTS",
            name[:_LONGEST],
        )
    return provider


def _owner_of(name: str, is_azure_client: bool) -> str:
    if name.endswith(_AZURE_HOSTS):
        return AZURE
    if name == _OPENAI_HOST or name in _openai_hosts:
        return AZURE if is_azure_client else OPENAI
    if name.endswith("." + _OPENAI_HOST):
        return OPENAI_REGIONAL
    if name.endswith((".azure.us", ".azure.cn")):
        return OTHER
    if is_azure_client:
        return AZURE
    return OPENAI if _is_this_machine(name) else OTHER


def _is_this_machine(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
