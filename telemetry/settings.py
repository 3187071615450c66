"""The settings, each with a type, a default and a description.

Every setting is an environment variable ``TELEMETRY_…``; the Flask extension reads the same names from
``app.config`` (the environment takes precedence). Where traces and metrics are sent is configured by
OpenTelemetry's own ``OTEL_*``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from ._internal import parsing
from ._internal.urls.database_url import key_of, old_keys_of, place_of, user_of
from ._internal.urls.secrets import CUT, remember, without_secrets
from .conventions import DEFAULT_COUNTERS, STAGES, WARNING_TYPES

PREFIX: Final = "TELEMETRY_"


class SettingsError(ValueError):
    """One or more settings cannot be used; the message has each of them, and how to correct it."""


def default_spool_dir() -> Path:
    """Return the default directory of the spool, below the directory for temporary files."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"analysis-telemetry-{user}"


def _setting(default: Any, parse: Callable[[str], Any], *, is_secret: bool = False) -> Any:
    metadata = {"parse": parse, "is_secret": is_secret}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not is_secret)
    return field(default=default, metadata=metadata, repr=not is_secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings; the environment variable of a field is ``TELEMETRY_`` and its name in capitals."""

    enabled: bool = _setting(True, parsing.boolean)
    """Whether telemetry is on; if not, instrumented code is a no-op."""

    database_url: str = _setting("", parsing.text)
    """SQLAlchemy URL of the application's database, which stores the rollups.

    Empty: nothing is written to SQL.
    """

    spool_dir: Path = _setting(default_spool_dir, Path)
    """Directory on a local disk in which snapshots wait until the database has them.

    It has to be the same for all processes of the application.
    """

    spool_max_bytes: int = _setting(256 * 1024 * 1024, parsing.whole(1024, 2**50))
    """Size of the spool at which checkpoints, then document lists, are shed; final totals never are."""

    hmac_key: str = _setting("", parsing.text)
    """Secret that turns document names into keyed hashes.

    The Flask extension derives it from SECRET_KEY when it is empty.
    """

    checkpoint_seconds: float = _setting(5.0, parsing.seconds(0.05, 3600))
    """Longest time between two saves of an open run that changes: what a killed process can lose.

    Early in a run it is saved more often.
    """

    heartbeat_seconds: float = _setting(60.0, parsing.seconds(0.1, 3600))
    """How often an open run that does not change is saved, to show that its process is alive."""

    late_seconds: float = _setting(60.0, parsing.seconds(0, 86400))
    """How long after the end of a run a call that starts in its context is still added to it.

    Later calls are orphans.
    """

    shutdown_seconds: float = _setting(5.0, parsing.seconds(0, 600))
    """How long a process waits for the database when it ends; undelivered entries stay in the spool."""

    save_on_sigterm: bool = _setting(True, parsing.boolean)
    """Save open runs when SIGTERM ends a process that has no handler of its own for it.

    They are interrupted, with their exact spend. The process then dies by the signal, after 2.5 seconds at
    most.
    """

    stages: tuple[str, ...] = _setting(STAGES, parsing.names)
    """Stages that metrics have from the start; others are added as they occur, up to a cap."""

    run_kinds: tuple[str, ...] = _setting((), parsing.kinds)
    """Kinds of runs that the application may open, in addition to ``analysis``, ``intake`` and ``late``.

    In snake_case, such as ``chat``. A run of any other kind is recorded as ``other``.
    """

    counters: tuple[str, ...] = _setting(DEFAULT_COUNTERS, parsing.names)
    """Names of counters for ``telemetry.count``; any other name is counted as ``other``."""

    prices_file: Path | None = _setting(None, parsing.path)
    """TOML file with negotiated prices and prices of private deployments; overrides the bundled list."""

    openai_hosts: tuple[str, ...] = _setting((), parsing.names)
    """Hosts that forward requests to OpenAI at its prices, such as your own gateway."""

    timezone: str = _setting("UTC", parsing.time_zone)
    """Time zone of the days in the daily check, insights and reports."""

    stale_seconds: float = _setting(900.0, parsing.seconds(60, 86400 * 7))
    """How long after its last save a silent run is marked as interrupted by the daily check."""

    warning_types: tuple[str, ...] = _setting(WARNING_TYPES, parsing.names)
    """Types of warnings that may be recorded."""

    jd_min_characters: int = _setting(200, parsing.whole(0, 10**9))
    """Job descriptions with fewer characters give rise to a warning. 0: no warning."""

    jd_max_characters: int = _setting(20_000, parsing.whole(0, 10**9))
    """Job descriptions with more characters give rise to a warning. 0: no warning."""

    resume_min_characters: int = _setting(200, parsing.whole(0, 10**9))
    """Résumés with fewer characters give rise to a warning. 0: no warning."""

    resume_max_characters: int = _setting(30_000, parsing.whole(0, 10**9))
    """Résumés with more characters give rise to a warning. 0: no warning."""

    batch_max_documents: int = _setting(200, parsing.whole(0, 10**9))
    """Runs with more candidates give rise to a warning. 0: no warning."""

    warnings_per_day: int = _setting(200, parsing.whole(1, 1_000_000))
    """Limit of the warnings of one user that are recorded in 24 hours."""

    warning_seconds: float = _setting(86_400.0, parsing.seconds(60, 86400 * 365))
    """How long after a warning without an answer the daily check marks it as abandoned."""

    override_factor: float = _setting(1.5, parsing.factor)
    """An override rate of 7 days above this multiple of the rate of 30 days is a finding."""

    override_min_jobs: int = _setting(5, parsing.whole(1, 1_000_000))
    """With fewer jobs over the limit in 7 days, the override rate is not evaluated."""

    rate_limited_jobs: int = _setting(5, parsing.whole(0, 1_000_000))
    """More rate-limited jobs than this in a day are a finding."""

    anomaly_factor: float = _setting(2.0, parsing.factor)
    """A day that differs from the median of the same weekdays of 28 days by a larger factor is a finding."""

    anomaly_min_jobs: int = _setting(20, parsing.whole(1, 1_000_000))
    """Days with fewer jobs do not enter the median, and their latency and errors are not evaluated.

    Of fewer than 20, a single large job decides what a day costs, and what 5 % of the jobs exceed.
    """

    queue_wait_seconds: float = _setting(600.0, parsing.seconds(1, 86400 * 7))
    """A job that waits longer for its worker is a finding."""

    budget_day_usd: float = _setting(50.0, parsing.dollars)
    """US dollars that all runs which begin on one day may cost; more is a finding. 0: no limit."""

    budget_month_usd: float = _setting(1000.0, parsing.dollars)
    """US dollars that all runs which begin in one month may cost; more is a finding. 0: no limit."""

    budget_job_usd: float = _setting(5.0, parsing.dollars)
    """US dollars that one job may cost, also while it is under way; more is a finding. 0: no limit."""

    budget_warning_share: float = _setting(0.8, parsing.share)
    """Share of the budgets of day and month above which there is a warning."""

    failed_jobs_objective: float = _setting(0.05, parsing.share)
    """Share of jobs that may fail in the long run; alerts are raised when it is used up much faster."""

    failed_jobs_min: int = _setting(10, parsing.whole(1, 1_000_000))
    """With fewer ended jobs in the longer of two compared periods, the share of failures raises no alert.

    Nor does it where two failed jobs are a larger share than may fail.
    """

    interrupted_jobs: int = _setting(1, parsing.whole(0, 1_000_000))
    """More interrupted jobs than this in a day raise an alert: a deployment may interrupt one."""

    longest_run_seconds: float = _setting(7200.0, parsing.seconds(60, 86400 * 30))
    """A run under way for longer raises an alert."""

    no_success_seconds: float = _setting(3600.0, parsing.seconds(240, 86400 * 30))
    """Jobs that wait, and none that succeeded for this long, raise an alert.

    Longer than the longest job takes.
    """

    worker_silent_seconds: float = _setting(300.0, parsing.seconds(10, 86400))
    """A worker that has not shown for longer that it is alive raises an alert."""

    slow_stage_seconds: float = _setting(1.0, parsing.seconds(0, 86400))
    """A stage that takes less on average raises no alert, however much slower than before it is."""

    slow_stage_min: int = _setting(5, parsing.whole(1, 1_000_000))
    """With fewer executions of a stage in an hour, its time is not compared with that of the day before."""

    openai_failed_share: float = _setting(0.1, parsing.share)
    """A larger share of failed attempts in 10 minutes, 429s not counted, raises an alert."""

    openai_min_attempts: int = _setting(50, parsing.whole(1, 1_000_000))
    """With fewer attempts in 10 minutes, the share of failed ones raises no alert.

    Of 20, a single call that fails at three attempts is a tenth.
    """

    openai_failed_calls: int = _setting(5, parsing.whole(0, 1_000_000))
    """More calls than this that fail in 15 minutes although the client retried raise an alert."""

    headroom_share: float = _setting(0.1, parsing.share)
    """A share of a rate limit below which what is left of it is reported, for information."""

    spool_backlog: int = _setting(1000, parsing.whole(1, 1_000_000_000))
    """More snapshots than this that wait in the spool of a process raise an alert."""

    spool_age_seconds: float = _setting(600.0, parsing.seconds(60, 86400 * 7))
    """A snapshot that waits in the spool for longer raises an alert."""

    health_log_seconds: float = _setting(93_600.0, parsing.seconds(3600, 86400 * 30))
    """A log of days whose last day ended longer ago raises an alert: a day and the hours of the check."""

    collector_queue_share: float = _setting(0.8, parsing.share)
    """A queue of the Collector that is fuller raises an alert."""

    alert_job: str = _setting("screener", parsing.job)
    """The application in alert rules: the value of the label ``job`` that its metrics have in Prometheus.

    With OTLP it is OTEL_SERVICE_NAME, after the namespace and a slash if there is one.
    """

    runbooks_url: str = _setting("docs/runbooks", parsing.link)
    """Where the runbooks are published: what an alert's link to its runbook begins with."""

    grafana_url: str = _setting("", parsing.http_link)
    """Address of Grafana: what an alert's link to its dashboard begins with."""

    grafana_postgresql_uid: str = _setting("analysis-postgresql", parsing.uid)
    """Uid of the data source in Grafana that reads the application's database.

    ``flask telemetry assets`` writes it into the dashboards, and what follows.
    """

    grafana_prometheus_uid: str = _setting("analysis-prometheus", parsing.uid)
    """Uid of the data source in Grafana for the Prometheus that stores these metrics."""

    grafana_traces_uid: str = _setting("analysis-jaeger", parsing.uid)
    """Uid of the data source in Grafana for traces."""

    grafana_traces_type: str = _setting("jaeger", parsing.traces_type)
    """What stores the traces that Grafana shows: ``jaeger`` or ``tempo``."""

    alertmanager_targets: tuple[str, ...] = _setting(("127.0.0.1:9093",), parsing.targets)
    """Hosts and ports of Alertmanager, for Prometheus, which sends alerts there and scrapes it.

    ``flask telemetry assets`` writes them into ``prometheus.yml``, and what follows. Empty: there is none.
    """

    collector_targets: tuple[str, ...] = _setting(("127.0.0.1:8888",), parsing.targets)
    """Hosts and ports of the Collector's own metrics, which Prometheus scrapes. Empty: there are none."""

    app_url: str = _setting("http://127.0.0.1:8000", parsing.http_url)
    """Address of the application: what the links of dashboards to its exports begin with."""

    alertmanager_url: str = _setting("", parsing.http_url, is_secret=True)
    """Address of the Alertmanager to which ``--notify`` and the daily check send severe findings.

    Such as http://alertmanager:9093; it may contain a user and a password.
    """

    notify: tuple[str, ...] = _setting((), parsing.notification_urls, is_secret=True)
    """Other recipients of severe findings: Apprise URLs (e-mail, Slack, webhook …), separated by commas.

    Requires the extra ``notify``.
    """

    daily_check: bool = _setting(False, parsing.boolean)
    """Let one of the processes do the daily check, soon after midnight, if no cron job does it."""

    cache_seconds: float = _setting(60.0, parsing.seconds(0, 86400))
    """How long a process caches the results of queries about jobs.

    A run that ends in the process clears its cache. 0: no cache.
    """

    integrity_seconds: float = _setting(3600.0, parsing.seconds(0, 86400 * 7))
    """How often one of the processes checks the tables for contradictions, for a gauge.

    0: never.
    """

    gauges_seconds: float = _setting(15.0, parsing.seconds(0, 3600))
    """How often one of the processes queries the gauges that come from SQL.

    0: never.
    """

    metrics_port: int | None = _setting(None, parsing.whole(0, 65535))
    """Port on which this process serves metrics to Prometheus.

    0: any free port, which is published in the spool. Unset: no listener.
    """

    metrics_host: str = _setting("127.0.0.1", parsing.text)
    """Address that the metrics listener binds to."""

    prometheus_url: str = _setting("", parsing.http_url, is_secret=True)
    """Address of the Prometheus that stores these metrics; `flask telemetry doctor` queries it."""

    exception_messages: bool = _setting(False, parsing.boolean)
    """Export exception messages and stack traces on spans and log records.

    They can hold résumé text: off by default.
    """

    message_content: bool = _setting(False, parsing.boolean)
    """Export prompts and answers, with the résumés and names in them, on spans and log records.

    Also requires OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT.
    SQL and metrics never contain any of it.
    """

    log_messages: bool = _setting(False, parsing.boolean)
    """Export the text of log records and the attributes that the application added (``extra``).

    For OTEL_LOGS_EXPORTER; they may contain names. Without it, a record has only the level, the logger, the
    place in the code and the type of exception.
    """

    def __post_init__(self) -> None:
        """Remember the secrets, so that they are removed from everything that is printed."""
        remember(self.database_url, self.alertmanager_url, self.prometheus_url, *self.notify)

    def __repr__(self) -> str:
        """Return the fields by name, without secrets."""
        shown = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.repr}
        shown["database_url"] = without_secrets(self.database_url)
        shown["hmac_key"] = self.hmac_key and CUT
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def database(self) -> str:
        """Return a URL without secrets that identifies the database: equal for all URLs of the same one.

        Empty: there is none.
        """
        return place_of(self.database_url)

    def spool_key(self) -> str:
        """Return the name of the spool's folder for this database: a hash that holds no password."""
        return key_of(self.database())

    def old_spool_keys(self) -> dict[str, bool]:
        """Return the folders that earlier versions used, and whether each may hold other databases' too."""
        return old_keys_of(self.database_url)

    def spool_user(self) -> str:
        """Return the user if its schema may decide where rows land, else an empty string."""
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
            SettingsError: if a value cannot be used or a name is unknown; one line with all problems.
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
