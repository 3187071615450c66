"""The provider that a request goes to, which decides whose prices apply."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from telemetry.pricing.provider import provider_of, use_openai_hosts


@pytest.fixture(autouse=True)
def no_other_hosts() -> Iterator[None]:
    use_openai_hosts(())  # also clears the providers that are cached
    yield
    use_openai_hosts(())


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("API.OpenAI.com.", "openai"),
        ("eu.api.openai.com", "openai-regional"),
        ("us.api.openai.com", "openai-regional"),
        ("jp.api.openai.com", "openai-regional"),
        ("acme.openai.azure.com", "azure"),
        ("acme.cognitiveservices.azure.com", "azure"),
        ("acme.services.ai.azure.com", "azure"),
        ("acme.azure-api.net", "azure"),
        ("localhost", "openai"),
        ("127.0.0.1", "openai"),
        ("127.8.9.10", "openai"),
        ("::1", "openai"),
        ("openrouter.ai", "other"),
        ("api.groq.com", "other"),
        ("vllm", "other"),
        ("10.0.0.5", "other"),
        ("acme.openai.azure.us", "other"),
        ("acme.openai.azure.cn", "other"),
        ("notapi.openai.com.evil.example", "other"),
        ("xapi.openai.com", "other"),
        ("openai.azure.com.example.org", "other"),
        ("", "other"),
    ],
)
def test_provider_follows_from_the_host(host: str, provider: str) -> None:
    """OpenAI's hosts and localhost are OpenAI, Azure's are Azure, and all else is `other`."""
    assert provider_of(host) == provider


@pytest.mark.parametrize("host", ["127.0.0.1", "gateway.example.com", "api.openai.com", "x.openai.azure.com"])
def test_azure_client_always_means_azure(host: str) -> None:
    """This holds through any gateway."""
    assert provider_of(host, True) == "azure"


def test_unknown_host_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The line names the setting that declares a gateway to OpenAI."""
    for host in ("gateway.internal", "gateway.internal", "api.openai.com", "127.0.0.1", "x.openai.azure.com"):
        provider_of(host)
    (line,) = caplog.messages
    assert "gateway.internal" in line and "TELEMETRY_OPENAI_HOSTS" in line


def test_gateways_to_openai_can_be_declared() -> None:
    """A declared gateway has OpenAI's prices."""
    assert provider_of("gateway.example.com") == "other"
    use_openai_hosts(["Gateway.example.com"])
    assert provider_of("gateway.example.com") == "openai"
    assert provider_of("other.example.com") == "other"
