"""What an operator can set, each with its type, default and a sentence.

Every setting is an environment variable ``TELEMETRY_…``; the Flask extension takes the same names from
``app.config`` (the environment wins). Everything about where traces and metrics are sent is OpenTelemetry's
own ``OTEL_*``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from ._internal import parsing
from ._internal.database_url import key_of, old_keys_of, place_of, user_of
from ._internal.secrets import CUT, remember, without_secrets
from .conventions import DEFAULT_COUNTERS, STAGES, WARNING_TYPES

PREFIX: Final = "TELEMETRY_"


class SettingsError(ValueError):
    """One or more settings cannot be used; the message names each and the way out."""


def default_spool_dir() -> Path:
    """Return where rollups wait unless a setting names a place: below the folder of temporary files."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"analysis-telemetry-{user}"


def _setting(default: Any, parse: Callable[[str], Any], *, is_secret: bool = False) -> Any:
    metadata = {"parse": parse, "is_secret": is_secret}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not is_secret)
    return field(default=default, metadata=metadata, repr=not is_secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings; a field's environment variable is ``TELEMETRY_`` and its name in capitals."""

    enabled: bool = _setting(True, parsing.boolean)
    """Off switches everything off; instrumented code becomes a no-op."""

    database_url: str = _setting("", parsing.text)
    """SQLAlchemy URL of the database that keeps the rollups: the application's own.

    Empty: nothing is written to SQL.
    """

    spool_dir: Path = _setting(default_spool_dir, Path)
    """Directory on a local disk in which rollups wait for the database.

    Every process of the application names the same one.
    """

    spool_max_bytes: int = _setting(256 * 1024 * 1024, parsing.whole(1024, 2**50))
    """Size of the spool at which checkpoints, then document lists, are shed; final totals never are."""

    hmac_key: str = _setting("", parsing.text)
    """Secret that turns document names into keyed hashes.

    The Flask extension derives it from SECRET_KEY when it is empty.
    """

    checkpoint_seconds: float = _setting(5.0, parsing.seconds(0.05, 3600))
    """How often at least an open run that changed is saved: what a killed process can lose.

    Early in a run it is saved more often.
    """

    heartbeat_seconds: float = _setting(60.0, parsing.seconds(0.1, 3600))
    """How often an open run that did not change says that it is alive."""

    late_seconds: float = _setting(60.0, parsing.seconds(0, 86400))
    """How long after a run's end a call that starts in its context still counts to it.

    Later ones are orphans.
    """

    shutdown_seconds: float = _setting(5.0, parsing.seconds(0, 600))
    """How long a process that ends waits for the database; what is left stays in the spool."""

    save_on_sigterm: bool = _setting(True, parsing.boolean)
    """Save what is known when SIGTERM ends a process that has no handler of its own for it.

    Open runs are interrupted, with their exact spend. The process then dies by the signal, 2.5 seconds later
    at most.
    """

    stages: tuple[str, ...] = _setting(STAGES, parsing.names)
    """Stages that metrics name from the start; others are added as they come, up to a cap."""

    run_kinds: tuple[str, ...] = _setting((), parsing.kinds)
    """Kinds of runs that ``telemetry.run`` takes beside ``analysis``, ``intake`` and ``late``.

    In snake_case, such as ``chat``. A run of any other kind is recorded as ``other``.
    """

    counters: tuple[str, ...] = _setting(DEFAULT_COUNTERS, parsing.names)
    """Names that ``telemetry.count`` takes; anything else is counted as ``other``."""

    prices_file: Path | None = _setting(None, parsing.path)
    """TOML file with negotiated prices and those of private deployments; it goes before the bundled list."""

    openai_hosts: tuple[str, ...] = _setting((), parsing.names)
    """Hosts that pass requests on to OpenAI at its prices, such as a gateway of one's own."""

    timezone: str = _setting("UTC", parsing.time_zone)
    """Whose days the daily check, insights and reports count."""

    stale_seconds: float = _setting(900.0, parsing.seconds(60, 86400 * 7))
    """How long after its last word the daily check calls a run interrupted."""

    warning_types: tuple[str, ...] = _setting(WARNING_TYPES, parsing.names)
    """Types of warnings that may be recorded."""

    jd_min_characters: int = _setting(200, parsing.whole(0, 10**9))
    """Length of a job description below which it is worth a warning. 0: none."""

    jd_max_characters: int = _setting(20_000, parsing.whole(0, 10**9))
    """Length of a job description beyond which it is worth a warning. 0: none."""

    resume_min_characters: int = _setting(200, parsing.whole(0, 10**9))
    """Length of a résumé below which it is worth a warning. 0: none."""

    resume_max_characters: int = _setting(30_000, parsing.whole(0, 10**9))
    """Length of a résumé beyond which it is worth a warning. 0: none."""

    batch_max_documents: int = _setting(200, parsing.whole(0, 10**9))
    """Candidates of a run beyond which it is worth a warning. 0: none."""

    warnings_per_day: int = _setting(200, parsing.whole(1, 1_000_000))
    """Warnings of one user in 24 hours beyond which no more are recorded."""

    warning_seconds: float = _setting(86_400.0, parsing.seconds(60, 86400 * 365))
    """How long after a warning nobody answered it the daily check calls it abandoned."""

    override_factor: float = _setting(1.5, parsing.factor)
    """How many times the override rate of 30 days that of 7 days may be before it is a finding."""

    override_min_jobs: int = _setting(5, parsing.whole(1, 1_000_000))
    """Jobs over the limit in 7 days below which their override rate says nothing."""

    rate_limited_jobs: int = _setting(5, parsing.whole(0, 1_000_000))
    """How many jobs may meet rate limits in a day before it is a finding."""

    anomaly_factor: float = _setting(2.0, parsing.factor)
    """How many times the median of the same weekdays of 28 days a day may be before it is a finding."""

    anomaly_min_jobs: int = _setting(5, parsing.whole(1, 1_000_000))
    """Jobs a day below which neither that day nor its weekday says anything."""

    queue_wait_seconds: float = _setting(600.0, parsing.seconds(1, 86400 * 7))
    """How long a job may wait for its worker before it is a finding."""

    alertmanager_url: str = _setting("", parsing.http_url, is_secret=True)
    """Address of the Alertmanager that ``--notify`` and the daily check notify of what is severe.

    As in http://alertmanager:9093; a user and a password may be in it.
    """

    notify: tuple[str, ...] = _setting((), parsing.notification_urls, is_secret=True)
    """Where else to send it: addresses of Apprise (e-mail, Slack, webhook …), separated by commas.

    It takes the extra ``notify``.
    """

    daily_check: bool = _setting(False, parsing.boolean)
    """Let one of the processes do the daily check, soon after midnight, where there is no cron."""

    cache_seconds: float = _setting(60.0, parsing.seconds(0, 86400))
    """How old an answer about jobs may be in a process that is asked the same again.

    A run that ends in that process makes it ask anew. 0: it always asks.
    """

    integrity_seconds: float = _setting(3600.0, parsing.seconds(0, 86400 * 7))
    """How often one of the processes looks whether the tables contradict themselves, for a gauge.

    0: never.
    """

    metrics_port: int | None = _setting(None, parsing.whole(0, 65535))
    """Port on which this process answers Prometheus.

    0 takes any free one and publishes it in the spool. Unset: no listener.
    """

    metrics_host: str = _setting("127.0.0.1", parsing.text)
    """Address on which the metrics listener binds."""

    prometheus_url: str = _setting("", parsing.http_url, is_secret=True)
    """Address of the Prometheus that keeps these metrics: `flask telemetry doctor` asks it."""

    exception_messages: bool = _setting(False, parsing.boolean)
    """Export exception messages and stack traces on spans and log records.

    They can hold résumé text: off by default.
    """

    message_content: bool = _setting(False, parsing.boolean)
    """Export prompts and answers, résumés and names in them, on spans and log records.

    It takes OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT,
    too. SQL and metrics never hold any.
    """

    log_messages: bool = _setting(False, parsing.boolean)
    """Export the text of log records and what the application attached to them (``extra``).

    That is for OTEL_LOGS_EXPORTER; they can hold names. Without it a record has level, logger, place in the
    code and type of exception.
    """

    def __post_init__(self) -> None:
        """Note what is secret, wherever it may be printed."""
        remember(self.database_url, self.alertmanager_url, self.prometheus_url, *self.notify)

    def __repr__(self) -> str:
        """Return the fields by name, without secrets."""
        shown = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.repr}
        shown["database_url"] = without_secrets(self.database_url)
        shown["hmac_key"] = self.hmac_key and CUT
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def database(self) -> str:
        """Return which database it is, as a URL without secrets: equal for two URLs of the same one.

        Empty: there is none.
        """
        return place_of(self.database_url)

    def spool_key(self) -> str:
        """Return the name of the spool's folder for this database: a hash that holds no password."""
        return key_of(self.database())

    def old_spool_keys(self) -> dict[str, bool]:
        """Return the folders of earlier versions, and whether other databases' may be there, too."""
        return old_keys_of(self.database_url)

    def spool_user(self) -> str:
        """Return the user whose schema may decide where rows land; empty: it decides nothing."""
        return user_of(self.database_url)

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        config: Mapping[str, object] | None = None,
        *,
        defaults: Settings | None = None,
    ) -> Settings:
        """Read settings from ``environ`` (default: the process's), then ``config``, then ``defaults``.

        Raises:
            SettingsError: when a value cannot be used or a name is unknown; one line, all problems in it.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name, value in {**_named(config or {}), **_named(environ)}.items():
            try:
                values[_FIELDS[name].name] = _parse(_FIELDS[name].metadata["parse"], value)
            except KeyError:
                problems.append(f"{name} is not a setting{_nearest(name)}")
            except (ValueError, TypeError) as error:
                shown = name if _FIELDS[name].metadata["is_secret"] else f"{name}={value!r}"
                problems.append(without_secrets(f"{shown} {error}"))
        if problems:
            raise SettingsError("; ".join(problems))
        return replace(defaults or cls(), **values)


def _parse(parse: Callable[[str], object], value: object) -> object:
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        value = ",".join(value)
    return parse(value) if isinstance(value, str) else value


def _named(source: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in source.items() if name.startswith(PREFIX)}


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, _FIELDS, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


_FIELDS: Final = {PREFIX + entry.name.upper(): entry for entry in fields(Settings)}
