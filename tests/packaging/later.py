"""Future releases of OpenTelemetry, as wheels without content.

OpenTelemetry releases its packages in trains, which pin each other; some trains here are incomplete.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

RELEASES: dict[tuple[str, str], tuple[str, ...]] = {
    # a patch release of one instrumentation and of its base only
    ("opentelemetry-instrumentation-sqlalchemy", "0.66b9"): ("opentelemetry-instrumentation==0.66b9",),
    ("opentelemetry-instrumentation", "0.66b9"): ("opentelemetry-semantic-conventions==0.66b9",),
    ("opentelemetry-semantic-conventions", "0.66b9"): ("opentelemetry-api==1.45.9",),
    ("opentelemetry-sdk", "1.45.9"): (
        "opentelemetry-api==1.45.9",
        "opentelemetry-semantic-conventions==0.66b9",
    ),
    ("opentelemetry-api", "1.45.9"): (),
    # the next train, which lacks some instrumentations
    ("opentelemetry-api", "1.99.0"): (),
    ("opentelemetry-sdk", "1.99.0"): (
        "opentelemetry-api==1.99.0",
        "opentelemetry-semantic-conventions==0.99b0",
    ),
    ("opentelemetry-semantic-conventions", "0.99b0"): ("opentelemetry-api==1.99.0",),
    ("opentelemetry-instrumentation", "0.99b0"): ("opentelemetry-semantic-conventions==0.99b0",),
    ("opentelemetry-instrumentation-threading", "0.99b0"): ("opentelemetry-instrumentation==0.99b0",),
    ("opentelemetry-instrumentation-flask", "0.99b0"): (
        "opentelemetry-instrumentation==0.99b0",
        "opentelemetry-instrumentation-wsgi==0.99b0",
    ),
    ("opentelemetry-exporter-prometheus", "0.99b0"): ("opentelemetry-sdk~=1.99.0",),
    # packages with a release cycle of their own, which require the next train
    ("opentelemetry-util-genai", "1.99b0"): (
        "opentelemetry-instrumentation>=0.99b0,<1",
        "opentelemetry-semantic-conventions>=0.99b0,<1",
    ),
    ("opentelemetry-instrumentation-genai-openai", "1.99b0"): (
        "opentelemetry-instrumentation>=0.99b0,<1",
        "opentelemetry-util-genai>=1.99b0",
    ),
}
"""The requirements of each, by name and version."""


def build(folder: Path) -> None:
    """Write a wheel without content of each of :data:`RELEASES`."""
    for (name, version), needs in RELEASES.items():
        _write(folder, name.replace("-", "_"), version, needs)


def _write(folder: Path, name: str, version: str, needs: Sequence[str]) -> None:
    described = f"{name}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {need}" for need in needs]
    wheel = ["Wheel-Version: 1.0", "Generator: tests", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    parts = {"METADATA": "\n".join(metadata) + "\n", "WHEEL": "\n".join(wheel) + "\n"}
    record = "".join(f"{described}/{part},,\n" for part in (*parts, "RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for part, content in {**parts, "RECORD": record}.items():
            archive.writestr(f"{described}/{part}", content)
