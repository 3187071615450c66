"""The programs, where they are pinned, and whether a built one is still what is pinned."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
TOOLS: Final = ROOT / ".tools"
"""Where the programs are; git ignores it."""
FLAGS: Final = ("-trimpath", "-buildvcs=false", "-mod=readonly")
"""Of every build: no path of the machine in a program, and no module that `go.sum` does not name."""


@dataclass(frozen=True)
class Build:
    """What one `go build` makes: one or more programs from the modules of one `go.mod`."""

    name: str
    """Folder beside this file, with `go.mod` and `go.sum`."""
    version: str
    packages: dict[str, str]
    """Package of each program, by the name of the program."""
    symbols: dict[str, str] = field(default_factory=dict)
    """Variables that are set in the program, such as the version that it prints."""
    tags: str = ""
    generator: Build | None = None
    """A program that writes the source of this one from its `manifest.yaml`."""

    def pins(self, root: Path = ROOT) -> Path:
        """Return the folder with what pins the modules."""
        return root / "tools" / self.name

    def go_version(self, root: Path = ROOT) -> str:
        """Return the oldest version of Go that builds it."""
        pins = (self, self.generator) if self.generator else (self,)
        found = (re.search(r"^go (\S+)$", (one.pins(root) / "go.mod").read_text(), re.M) for one in pins)
        return max((match[1] for match in found if match), key=numbers)

    def flags(self) -> list[str]:
        """Return the flags of `go build`."""
        symbols = "".join(f" -X {name}={value}" for name, value in self.symbols.items())
        return [*FLAGS, *(["-tags", self.tags] if self.tags else []), "-ldflags", f"-s -w{symbols}"]

    def key(self, root: Path = ROOT) -> str:
        """Return a digest of everything that determines the programs, apart from the version of Go."""
        digest = hashlib.sha256(
            repr((sys.platform, platform.machine(), self.flags(), self.packages)).encode()
        )
        for file in sorted(self.pins(root).iterdir()):
            digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
        return digest.hexdigest() + (self.generator.key(root) if self.generator else "")

    def is_built(self, root: Path = ROOT, tools: Path = TOOLS) -> bool:
        """Return whether its programs are there, built from what is pinned now."""
        try:
            is_current = (tools / f"{self.name}.key").read_text() == self.key(root)
        except OSError:
            return False
        return is_current and all((tools / program).is_file() for program in self.packages)


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers in a version, for comparison."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


_BUILDER: Final = Build("builder", "0.161.0", {"builder": "go.opentelemetry.io/collector/cmd/builder"})
_PROMETHEUS: Final = "github.com/prometheus/prometheus/cmd"
_ALERTMANAGER: Final = "github.com/prometheus/alertmanager/cmd"

BUILDS: Final = (
    Build(
        "jaeger",
        "2.13.0",  # as a module, v1.76.0: its path has no /v2
        {"jaeger": "github.com/jaegertracing/jaeger/cmd/jaeger"},
        {"github.com/jaegertracing/jaeger/internal/version.latestVersion": "v2.13.0"},
    ),
    Build(
        "prometheus",
        "3.16.0",
        {"prometheus": f"{_PROMETHEUS}/prometheus", "promtool": f"{_PROMETHEUS}/promtool"},
        {"github.com/prometheus/common/version.Version": "3.16.0"},
        tags="remove_all_sd",  # targets come from files: the clients of twenty clouds would double the build
    ),
    Build("collector", "0.161.0", {"otelcol": "."}, generator=_BUILDER),
    Build(
        "alertmanager",
        "0.31.1",
        {"alertmanager": f"{_ALERTMANAGER}/alertmanager", "amtool": f"{_ALERTMANAGER}/amtool"},
        {"github.com/prometheus/common/version.Version": "0.31.1"},
    ),
)
"""In the order in which they are built: what takes longest comes first."""
