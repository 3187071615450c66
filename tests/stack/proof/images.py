"""Images under the names in docker-compose.yml, built on this machine, where no registry can be reached."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests import postgres_exporter
from tests.debian import unpacked
from tests.stack import files
from tools.programs import BUILDS, TOOLS

HERE: Final = Path(__file__).parent / "images"
BASE: Final = "analysis-telemetry/base:bookworm"
SUITE: Final = "bookworm"
PACKAGES: Final = (
    *("busybox", "ca-certificates", "python3", "python3-venv"),
    # of PostgreSQL
    *("libicu72", "libldap-2.5-0", "libgssapi-krb5-2", "liblz4-1", "libpam0g", "libpq5", "libsystemd0"),
    *("libxml2", "libxslt1.1", "libzstd1", "libuuid1", "tzdata"),
)
POSTGRES: Final = ("postgresql-15", "postgresql-client-15", "postgresql-common")
CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"
PROGRAMS: Final = {
    "prometheus": ("prometheus", "promtool"),
    "alertmanager": ("alertmanager", "amtool"),
    "jaeger": ("jaeger",),
    "collector": ("otelcol",),
}
"""The programs in the image of each service."""


def build() -> None:
    """Build every image but Grafana's, and ours.

    Raises:
        subprocess.CalledProcessError: one could not be built.
        RuntimeError: a program is not built, or debootstrap is missing.
    """
    if missing := [build.name for build in BUILDS if not build.is_built()]:
        raise RuntimeError(f"{', '.join(missing)} is not built: run `make tools`")
    if not _is_there(BASE):
        if not shutil.which("debootstrap") or os.geteuid() != 0:
            raise RuntimeError("images of Debian are made by root, with debootstrap: install it")
        _make_base()
    _docker("tag", BASE, files.documented()["PYTHON_IMAGE"])
    with tempfile.TemporaryDirectory(prefix="images-") as folder:
        context = Path(folder)
        _fill(context)
        for service in (*PROGRAMS, "postgres", "postgres-exporter"):
            image = files.services()[service]["image"]
            arguments = ["--build-arg", f"BASE={BASE}", "--target", service, "--tag", image, str(context)]
            _docker("build", "--quiet", "--network", "host", *arguments)


def _fill(context: Path) -> None:
    for file in HERE.iterdir():
        shutil.copy(file, context)
    for programs in PROGRAMS.values():
        for program in programs:
            shutil.copy(TOOLS / program, context)
    shutil.copy(postgres_exporter.program(), context / "postgres_exporter")
    package = unpacked("postgresql-15", POSTGRES, "usr/lib/postgresql/15/bin/postgres")
    shutil.copytree(package / "usr" / "lib", context / "postgresql" / "usr" / "lib", symlinks=True)
    shutil.copytree(
        package / "usr" / "share" / "postgresql", context / "postgresql" / "usr" / "share" / "postgresql"
    )
    for compiler in (context / "postgresql").rglob(
        "llvmjit*"
    ):  # needs LLVM, and nothing here compiles queries
        shutil.rmtree(compiler) if compiler.is_dir() else compiler.unlink()


def _make_base() -> None:
    """Make an image of Debian's packages, which trusts whom this machine trusts."""
    with tempfile.TemporaryDirectory(prefix="debian-") as folder:
        root = Path(folder, "root")
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        trusted = os.environ.get("SSL_CERT_FILE") or f"/{CERTIFICATES}"
        shutil.copy(trusted, root / CERTIFICATES)
        if Path("/etc/pip.conf").exists():
            shutil.copy("/etc/pip.conf", root / "etc")
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        (root / "usr/local/bin/wget").symlink_to("/bin/busybox")
        for left in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / left, ignore_errors=True)
        archive = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        settings = [f"--change=ENV PIP_CERT=/{CERTIFICATES}", f"--change=ENV SSL_CERT_FILE=/{CERTIFICATES}"]
        subprocess.run(["docker", "import", *settings, "-", BASE], stdin=archive.stdout, check=True)
        if archive.wait():
            raise subprocess.CalledProcessError(archive.returncode, "tar")


def _is_there(image: str) -> bool:
    return bool(
        subprocess.run(["docker", "image", "ls", "-q", image], check=True, capture_output=True).stdout
    )


def _docker(*arguments: str) -> None:
    # The classic builder: the newer one wants a plugin, and asks a registry for the image of each FROM.
    env = {**os.environ, "DOCKER_BUILDKIT": "0"}
    subprocess.run(["docker", *arguments], check=True, env=env)
