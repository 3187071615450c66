"""``flask telemetry …``: the commands of an operator.

Flask loads this module on every ``flask`` command, so it imports nothing but click; the rest comes inside
the commands.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import click

from telemetry._internal.interrupt import ends_at_once
from telemetry._internal.secrets import driver_message, without_secrets
from telemetry._internal.standard_output import host_output, own_output
from telemetry.pricing.provider import PROVIDERS

from .archive import archive
from .listing import count, paragraph, table
from .options import DAY, ID
from .reference import catalogue, unused
from .report import report

if TYPE_CHECKING:
    from flask import Flask

    from exporters.export.jobs import Export
    from exporters.findings.finding import Finding
    from exporters.process.spool_keeper import ProcessDirectory, SpoolKeeper
    from exporters.upkeep.health_log import HealthDay
    from telemetry.settings import Settings

RECOVERY_SECONDS: Final = 10.0
FOREIGN_HINT: Final = "foreign directories are another user's: run this as that user, or chown them"
NOT_TOLD: Final = 3
"""Exit status when somebody was to be told and could not be."""
_Result = TypeVar("_Result")
_Given = ParamSpec("_Given")


class _Commands(click.Group):
    """Commands whose output may be an old terminal, a pipe that nobody reads, or a full disk."""

    def invoke(self, ctx: click.Context) -> Any:
        """Call one; a broken pipe is left to click, which is quiet about it."""
        from telemetry.setup import process as setup

        if os.environ.get("NO_COLOR"):
            ctx.color = False
        with own_output(), setup.for_operator():
            if (
                isinstance(sys.stdout, io.TextIOWrapper)
                and codecs.lookup(sys.stdout.encoding).name != "utf-8"
            ):
                sys.stdout.reconfigure(errors="replace")
            try:
                with ends_at_once():
                    return super().invoke(ctx)
            except click.ClickException as error:
                error.message = without_secrets(error.message)  # type: ignore[misc]
                raise
            except BrokenPipeError:
                raise
            except OSError as error:
                raise click.ClickException(f"the output cannot be written: {error}") from None
            except ImportError as error:  # a driver, or an extra
                raise click.ClickException(f"{error}{setup.remedy(error)}") from None
            finally:
                _let_go_of_output()


def _let_go_of_output() -> None:
    """Lose what standard output does not take: Python would complain of it once more at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _insist_on_output() -> None:
    """Refuse to work for nobody; commands that do more than print go on without."""
    if sys.stdout is None:
        raise click.ClickException("standard output is closed: there is nowhere to write to")


@click.group("telemetry", cls=_Commands)
def cli() -> None:
    """Observability of this application's analyses."""


cli.add_command(archive)
cli.add_command(catalogue)
cli.add_command(report)
cli.add_command(unused)


@cli.command()
@click.option("--no-run", is_flag=True, help="Make no synthetic run.")
@click.option("-v", "--verbose", is_flag=True, help="A line for what is fine, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with everything.")
def doctor(no_run: bool, as_json: bool, verbose: bool) -> None:
    """Say what works, what does not, and what to do; exit with how many things are wrong.

    Makes a synthetic run, which no total counts, and compares what SQL, metrics and its trace say of it.
    """
    from telemetry.doctor.report import main

    _insist_on_output()
    raise SystemExit(main(_load_app, with_run=not no_run, as_json=as_json, verbose=verbose))


@cli.group()
def db() -> None:
    """Tables and columns of telemetry in the application's database."""


@db.command()
@click.option(
    "--with-base-tables",
    is_flag=True,
    help="Also create users, analyses and candidate_files where they are missing.",
)
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
@click.option("--sql", is_flag=True, help="Print the SQL for this database instead of running it.")
def upgrade(with_base_tables: bool, database_url: str | None, sql: bool) -> None:
    """Add what is missing; nothing that is there is changed."""
    with needs_sql():
        from exporters.sql.schema import migrate
    if sql:
        _print_sql(migrate.upgrade_sql, database_url)
        return
    url = _database(database_url)
    before = _run(migrate.current, url)
    _run(migrate.upgrade, url, with_base_tables=with_base_tables)
    revision = _run(migrate.current, url)
    for each in _run(migrate.left_out, url) if revision != before else ():
        click.echo(f"Telemetry does without {each}.", err=True)
    click.echo(f"The database is at {revision}.")


@db.command()
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
@click.option("--sql", is_flag=True, help="Print the SQL for this database instead of running it.")
@click.option("--revision", default="base", show_default=True, help="How far to go back: 1_base_tables.")
@click.option(
    "--with-base-tables",
    is_flag=True,
    help="Also drop users, analyses and candidate_files with their rows, where the upgrade created them.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(database_url: str | None, sql: bool, revision: str, with_base_tables: bool, yes: bool) -> None:
    """Drop what the upgrade added, and only that; name first what is lost with it."""
    with needs_sql():
        from exporters.sql.schema import migrate
    url = _database(database_url)
    if sql:
        _print_sql(partial(migrate.downgrade_sql, revision=revision, with_base_tables=with_base_tables), url)
        return
    lost = _run(migrate.downgrade_losses, url, revision)
    if any(each.is_base and each.rows for each in lost) and not with_base_tables:
        _run(
            migrate.downgrade, url, revision=revision, with_base_tables=with_base_tables
        )  # refuses, and says why
    click.echo("This drops what telemetry added, its data included:")
    for each in lost:
        click.echo(f"  {each}")
    if not yes:
        click.confirm("Go on?", abort=True)
    _run(migrate.downgrade, url, revision=revision, with_base_tables=with_base_tables)
    at = _run(migrate.current, url)
    click.echo(f"The database is at {at}." if at else "What telemetry added is gone.")


@db.command()
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
def current(database_url: str | None) -> None:
    """Say which revision the database is at; exit 1 unless it is the newest."""
    with needs_sql():
        from exporters.sql.schema import migrate
    revision, head = _run(migrate.current, _database(database_url)), _run(migrate.head)
    if revision == head:
        click.echo(revision)
        return
    click.echo(f"{revision or 'none'} (newest: {head}; run flask telemetry db upgrade)")
    raise SystemExit(1)


@db.command()
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
@click.option("--name", default="grafana", show_default=True, help="Of the role.")
def role(database_url: str | None, name: str) -> None:
    """Print the SQL that makes a role which may read the views and nothing else."""
    with needs_sql():
        from exporters.sql.schema.roles import role_sql
    click.echo(_kept(lambda: role_sql(_database(database_url), name)), nl=False)


@cli.command()
@click.option("--since", type=DAY, required=True, help="First day (UTC) on which the runs began: 2026-10-01.")
@click.option("--until", type=DAY, help="The first day they did not begin on any more. Default: no end.")
@click.option("--model", default="*", show_default=True, help="Which models, as a glob.")
@click.option("--provider", type=click.Choice(PROVIDERS), default="openai", show_default=True)
@click.option("--prices-file", type=click.Path(), help="Default: TELEMETRY_PRICES_FILE.")
@click.option("--apply", is_flag=True, help="Write the new prices. Default: only show what would change.")
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
def reprice(prices_file: str | None, database_url: str | None, **selection: Any) -> None:
    """Price recorded calls again, after a price changed or became known.

    The old value is kept. Exit 1 if the price file or the database cannot be used.
    """
    with needs_sql():
        from exporters.upkeep.reprice import reprice as command
    from sqlalchemy.exc import SQLAlchemyError

    from telemetry.pricing.prices import prices
    from telemetry.settings import SettingsError

    selection |= {end: selection[end] and selection[end].date() for end in ("since", "until")}
    if selection["until"] and selection["until"] <= selection["since"]:
        raise click.BadParameter("must be later than --since", param_hint="--until")
    try:
        settings = _settings()
        url = _database(database_url or settings.database_url)
        report = command(
            url,
            prices(Path(prices_file) if prices_file else settings.prices_file),
            # The key belongs to the application's own database.
            hmac_key=settings.hmac_key if url == settings.database_url else "",
            **selection,
        )
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except SQLAlchemyError as error:
        raise _unusable(error) from None
    for line in report.lines():
        click.echo(line)


_notify_option: Final = click.option(
    "--notify",
    is_flag=True,
    help="Tell TELEMETRY_ALERTMANAGER_URL and TELEMETRY_NOTIFY what is severe, once a finding and day; "
    "exit 3 if that fails.",
)


@cli.command("health-check")
@click.option("--date", "only", type=DAY, help="Only this day: 2026-11-24.")
@click.option("--since", type=DAY, help="From this day on. Default: yesterday and today.")
@_notify_option
def health_check(only: datetime | None, since: datetime | None, notify: bool) -> None:
    """Write the log of days, and tidy up: once a day, or as often as you like."""
    if only and since:
        raise click.UsageError("--date and --since exclude each other")
    with needs_sql():
        from exporters.upkeep.health_log import HealthCheck as command
    settings = _database_settings()
    if (first := only or since) and first.date() > _today(settings):
        raise click.BadParameter("is in the future", param_hint="--date" if only else "--since")
    with _kept(lambda: command(settings)) as check:
        tidied = _kept(check.tidy)
        last = only.date() if only else None
        days = _kept(lambda: list(check.log(first.date() if first else check.yesterday(), last)))
        found = _kept(lambda: check.findings(check.yesterday())) if notify else []
    table(_HEALTH_TITLES, _health_rows(days), "No such day.")
    swept = tidied.swept.runs + tidied.swept.warnings
    click.echo(
        f"{count(tidied.interrupted, 'run')} interrupted, {count(tidied.shown, 'row')} brought up to date, "
        f"{count(tidied.abandoned, 'warning')} abandoned, "
        f"{count(swept, 'reference')} to deleted rows let go."
    )
    if check.archived:
        click.echo(f"Archived, and left as they are: {count(len(check.archived), 'day')}.")
    if notify:
        click.echo(_tell(settings, found))


def _tell(settings: Settings, found: Iterable[Finding]) -> str:
    """Tell what is severe, and return what became of it; leave with a line for each channel that failed."""
    with needs_sql():
        from exporters.findings.notify import notify as command
    told = _kept(lambda: command(settings, found))
    for problem in told.problems:
        click.echo(f"Error: {problem}", err=True)
    if told.problems:
        raise SystemExit(NOT_TOLD)
    return f"{count(told.sent, 'notification')} sent, {told.known:,} known already."


_HEALTH_TITLES: Final = (
    *("day", "completed", "failed", "unknown", ">mean s", ">dollars", "rate-limited runs"),
    *("at once", "candidates", "calls"),
)


def _health_rows(days: Sequence[HealthDay]) -> list[tuple[object, ...]]:
    from decimal import Decimal

    from .money import column

    pico = [day.cost_pico for day in days]
    dollars = column([None if each is None else Decimal(each).scaleb(-12) for each in pico])
    return [_health_row(day, amount) for day, amount in zip(days, dollars, strict=True)]


def _health_row(day: HealthDay, dollars: str) -> tuple[object, ...]:
    mean = "–" if day.avg_processing_time is None else f"{day.avg_processing_time:,.1f}"
    numbers = (day.rate_limit_incidents, day.peak_concurrent_jobs, day.total_candidates_processed)
    endings = (day.jobs_completed, day.jobs_failed, day.jobs_unknown)
    return (f"{day.date}", *endings, mean, dollars, *numbers, day.total_api_calls)


@cli.command()
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
def validate(database_url: str | None) -> None:
    """Say whether what the tables say is consistent; exit 1, with the ids, if it is not."""
    with needs_sql():
        from exporters.integrity.rules import validate as command
    found = _kept(lambda: command(_database(database_url)))
    for each in found:
        click.secho(f"{each.rule.name}: {each.count:,}", fg="red", bold=True)
        paragraph(f"It should be so that {each.rule.meaning}.")
        more = "" if each.count == len(each.ids) else f" and {each.count - len(each.ids):,} more"
        paragraph(f"{each.rule.id_name}: {', '.join(each.ids)}{more}")
    if found:
        raise SystemExit(1)
    click.secho("Everything is consistent.", fg="green")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding, each on a line.")
@_notify_option
def insights(as_json: bool, notify: bool) -> None:
    """Say what stands out in the figures of late, and what to do; exit 1 if some of it is severe."""
    with needs_sql():
        from exporters.findings.insights import insights as command
    settings = _database_settings()
    found = _kept(lambda: command(settings))
    for each in found:
        if as_json:
            click.echo(each.to_json())
            continue
        click.secho(each.title, fg="red" if each.is_severe else "yellow", bold=True)
        paragraph(each.message)
        paragraph(each.action)
    if not found and not as_json:
        click.secho("Nothing stands out.", fg="green")
    if notify:
        click.echo(_tell(settings, found), err=as_json)
    if any(each.is_severe for each in found):
        raise SystemExit(1)


@cli.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "jsonl", "parquet"]),
    default="csv",
    show_default=True,
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Default, as with -: what comes next in the pipe.",
)
@click.option("--days", type=click.IntRange(1, 36500), help="The last so many days, today included.")
@click.option("--since", type=DAY, help="First day on which the jobs began: 2026-10-01.")
@click.option("--until", type=DAY, help="The first day they did not begin on any more. Default: no end.")
@click.option(
    "--segment", type=click.Choice(["all", "new", "active", "power"]), default="all", show_default=True
)
@click.option(
    "--batch-size", type=click.Choice(["all", "small", "medium", "large"]), default="all", show_default=True
)
@click.option("--with-emails", is_flag=True, help="Also tell the e-mail addresses of their users.")
def export(
    form: str,
    output: Path | None,
    days: int | None,
    since: datetime | None,
    until: datetime | None,
    **selection: Any,
) -> None:
    """Write the jobs as CSV, JSON, JSON lines or Parquet, as the dashboards count them."""
    if days and since:
        raise click.UsageError("--days and --since exclude each other")
    if output is None:
        _insist_on_output()
    with needs_sql():
        from exporters.export.jobs import Export as command
    settings = _database_settings()
    first = since and since.date()
    if days:
        first = _today(settings) - timedelta(days=days - 1)
    if first and until and until.date() <= first:
        raise click.BadParameter(f"must be later than the first day, {first}", param_hint="--until")
    begin = first and _midnight(first, settings.timezone)
    end = until and _midnight(until.date(), settings.timezone)
    with _kept(lambda: command(settings.database_url, since=begin, until=end, **selection)) as jobs:
        _kept(lambda: _write_out(jobs, form, output))


def _write_out(jobs: Export, form: str, output: Path | None) -> None:
    """Write to a file behind a progress bar, which a terminal shows, or into a pipe or a device."""
    if output is None or str(output) in _STANDARD_OUTPUT:
        if form == "parquet" and sys.stdout.buffer.isatty():
            raise click.UsageError("Parquet is not for the eye: give --output, or pipe it")
        _pour(jobs, form, sys.stdout.buffer)
    elif output.exists() and not output.is_file():  # as it is: the links of /dev/stdout lead to no path
        with output.open("wb") as sink:
            _pour(jobs, form, sink)
    else:
        _replace(jobs, form, output)
        click.echo(f"{count(jobs.exported, 'job')} in {output}.")


_STANDARD_OUTPUT: Final = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def _pour(jobs: Export, form: str, sink: IO[bytes]) -> None:
    for _ in _pieces(jobs, form, sink):
        pass
    sink.flush()


def _replace(jobs: Export, form: str, output: Path) -> None:
    """Write a file that is there when it is complete; a link goes on leading to it."""
    target = Path(os.path.realpath(output))
    temporary = target.with_name(f".{target.name}.new")
    try:
        with temporary.open("wb") as file:
            _advance("Jobs", jobs.count(), _pieces(jobs, form, file))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _pieces(jobs: Export, form: str, file: IO[bytes]) -> Iterator[int]:
    """Write the jobs bit by bit, and yield how many each bit has."""
    before = 0
    for piece in jobs.pieces(form):
        file.write(piece)
        yield jobs.exported - before
        before = jobs.exported


def _today(settings: Settings) -> date:
    return datetime.now(ZoneInfo(settings.timezone)).date()


def _midnight(day: date, zone: str) -> datetime:
    """Return the beginning of a day as naive UTC."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)


@cli.command()
@click.option("--user", "user_id", type=ID, help="Everything of this user's.")
@click.option("--analysis", "analysis_id", type=ID, help="Everything of this analysis, its intake included.")
@click.option("--apply", is_flag=True, help="Erase it. Default: only count it.")
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
def erase(user_id: int | None, analysis_id: int | None, apply: bool, database_url: str | None) -> None:
    """Erase what is tied to one user or one analysis, on their request."""
    if (user_id is None) == (analysis_id is None):
        raise click.UsageError("name --user or --analysis")
    with needs_sql():
        from exporters.upkeep.erase import erase as command
    tied = {"user_id": user_id, "analysis_id": analysis_id}
    found = _kept(lambda: command(_database(database_url), **tied, apply=apply))
    click.echo(f"{count(found.runs, 'run')}, {count(found.rows, 'row')}{' erased' if apply else ''}.")
    if found.archives:
        click.echo(
            f"In archives, which this cannot reach, are {count(found.archived_runs, 'more run')}: "
            f"{', '.join(found.archives)}. There they have ids, and no name or e-mail address."
        )
    if not apply:
        click.echo("Nothing was erased; --apply erases.")


@cli.command("import-history")
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
def import_history(database_url: str | None) -> None:
    """Take over analyses from the time before telemetry; break it off and repeat it at will.

    Exit 1 if some are left because the application held their rows.
    """
    with needs_sql():
        from exporters.upkeep.import_history import History as command
    with _kept(lambda: command(_database(database_url))) as history:
        taken = _kept(lambda: _advance("Analyses", history.pending(), history.analyses()))
        users = _kept(history.users)
        _kept(lambda: _advance("Users", len(users), (history.refresh(user) for user in users)))
        left = _kept(history.pending)
        left_out = _kept(history.left_out)
    analyses = count(taken, "analysis", "analyses")
    click.echo(f"{analyses} taken over, {count(len(users), 'user')} brought up to date.")
    for each in left_out:
        click.echo(f"Left out: {each}.", err=True)
    if left:
        raise click.ClickException(f"the application held {left} more: repeat the command")


def _advance(label: str, length: int, steps: Iterable[int]) -> int:
    """Work through ``steps`` behind a progress bar, which a terminal shows; return their sum."""
    if not length:
        return sum(steps)
    total = 0
    with click.progressbar(length=length, label=label) as bar:
        for step in steps:
            total += step
            bar.update(step)
    return total


@cli.group()
def spool() -> None:
    """What waits for the database on this machine's disk."""


@spool.command("list")
def spool_list() -> None:
    """Show what each process keeps, what is set aside, and what cannot be read."""
    keeper = _keeper()
    processes = _kept(keeper.processes)
    click.echo(str(keeper.root))
    table(
        ("process", "", "snapshots", "bytes", ">oldest"),
        [
            (
                each.process_id,
                _state(each),
                each.snapshots,
                each.bytes,
                _age(each.age),
            )
            for each in processes
        ],
        "No process keeps anything.",
    )
    if any(each.is_foreign for each in processes):
        click.echo(FOREIGN_HINT)
    table(
        ("set aside", "refused with", "since"),
        [(each.fragment_id, each.reason, f"{each.since:%Y-%m-%d %H:%M} UTC") for each in keeper.parked()],
        "Nothing is set aside.",
    )
    for path in keeper.unreadable():
        click.echo(f"no snapshot of ours: {path}")


@spool.command("retry")
@click.argument("fragments", nargs=-1)
def spool_retry(fragments: tuple[str, ...]) -> None:
    """Deliver what was set aside, all of it or the FRAGMENTS named; exit 1 if the database still refuses."""
    keeper = _keeper()
    results = _kept(lambda: list(keeper.retry(fragments)))
    for each in results:
        click.echo(f"{each.fragment_id}  {each.error and f'still refused: {each.error}' or 'delivered'}")
    if any(each.error for each in results):
        raise SystemExit(1)
    _kept(lambda: keeper.recover(RECOVERY_SECONDS))


@spool.command("drop")
@click.argument("fragments", nargs=-1, required=True)
@click.confirmation_option(prompt="What these runs came to is then nowhere. Go on?")
def spool_drop(fragments: tuple[str, ...]) -> None:
    """Remove the FRAGMENTS named from what is set aside, for good."""
    click.echo(f"{_kept(lambda: _keeper().drop(fragments)):,} dropped.")


@spool.command("recover")
def spool_recover() -> None:
    """Deliver what dead processes left in the spool, as their successors would; exit 1 if some is left."""
    keeper = _keeper()
    dead = [each for each in _kept(keeper.processes) if not each.is_alive]
    is_done = _kept(lambda: keeper.recover(RECOVERY_SECONDS))
    left_behind = sum(each.snapshots for each in dead)
    left_by = count(len(dead), "dead process", "dead processes")
    click.echo(f"{left_by} had left {count(left_behind, 'snapshot')}.")
    still_there = keeper.processes()
    left = sum(each.snapshots for each in still_there if not each.is_alive)
    if left:
        raise click.ClickException(f"{left} are still there: see flask telemetry spool list")
    if foreign := [each.process_id for each in still_there if each.is_foreign]:
        raise click.ClickException(f"{', '.join(foreign)} in {keeper.root} left alone; {FOREIGN_HINT}")
    if lags := _kept(lambda: keeper.lagging(also_waiting=not is_done)):
        raise click.ClickException("; ".join(f"{lag} → {lag.remedy}" for lag in lags))
    if not is_done:
        raise click.ClickException("not all was done in time: run it again")
    click.echo("All is delivered.")


def _state(process: ProcessDirectory) -> str:
    if process.is_foreign:
        return "foreign"
    return "living" if process.is_alive else "dead"


def _keeper() -> SpoolKeeper:
    with needs_sql():
        from exporters.process.spool_keeper import SpoolKeeper
    settings = _database_settings()
    return _kept(lambda: SpoolKeeper(settings))


def _database_settings() -> Settings:
    """Return the settings, with a database in any case; a command never takes an old answer."""
    settings = _settings()
    return replace(settings, database_url=_database(settings.database_url), cache_seconds=0)


def _kept(action: Callable[[], _Result]) -> _Result:
    """Do something with the spool; what is wrong becomes one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return action()
    except BrokenPipeError:
        raise
    except (LookupError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except SQLAlchemyError as error:
        raise _unusable(error) from None


def _unusable(error: Exception) -> click.ClickException:
    """Return what is wrong with the database, with the way out where it was not migrated."""
    from sqlalchemy.exc import OperationalError

    url = click.get_current_context().params.get("database_url") or _database_settings().database_url
    # A server that is away need not be asked again: that may take minutes.
    may_be_behind = not isinstance(error, OperationalError) or url.startswith("sqlite")
    way_out = "; run flask telemetry db upgrade" if may_be_behind and _is_behind(url) else ""
    return click.ClickException(f"the database cannot be used: {_first_line(error)}{way_out}")


def _is_behind(url: str) -> bool:
    with needs_sql():
        from exporters.sql.schema import migrate
    try:
        return bool(migrate.current(url) != migrate.head())
    except Exception:  # what is wrong with the database is told already
        return False


def _first_line(error: Exception) -> str:
    """Return what the driver says: SQLAlchemy's own text carries the statement and its values."""
    from sqlalchemy.exc import NoSuchTableError

    if isinstance(error, NoSuchTableError):
        return f"no such table: {error}"
    return driver_message(error)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _settings() -> Settings:
    """Return the settings of the application the ``flask`` command found, else those of the environment."""
    from flask.cli import NoAppException

    from telemetry.settings import Settings, SettingsError
    from telemetry.web.extension import settings_of

    try:
        try:
            app = _load_app()
        except NoAppException:
            return Settings.load()
        return settings_of(app)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def _load_app() -> Flask:
    """Return the application the ``flask`` command found; what it prints is no output of the command."""
    from flask.cli import ScriptInfo

    with host_output():
        return click.get_current_context().ensure_object(ScriptInfo).load_app()


@contextmanager
def needs_sql() -> Iterator[None]:
    """Leave with one line where what the block imports is not installed."""
    try:
        yield
    except ImportError as error:
        raise click.ClickException(f"the database commands need analysis-telemetry[sql] ({error})") from None


def _run(action: Callable[_Given, _Result], *args: _Given.args, **options: _Given.kwargs) -> _Result:
    """Do something with the schema; what is wrong becomes one line."""
    from sqlalchemy.exc import SQLAlchemyError

    from exporters.sql.schema.migrate import MigrationError

    try:
        return action(*args, **options)
    except MigrationError as error:
        raise click.ClickException(str(error)) from None
    except SQLAlchemyError as error:
        raise click.ClickException(f"the database cannot be used: {_first_line(error)}") from None


def _print_sql(action: Callable[[str], str], database_url: str | None) -> None:
    printed = _run(action, _database(database_url))
    click.echo(printed or "-- There is nothing to do.\n", nl=False)


def _database(url: str | None) -> str:
    """Return the URL that was given, else that of the application the ``flask`` command found."""
    if url:
        return url
    from flask.cli import NoAppException

    from telemetry.web.extension import database_url
    from telemetry.web.host_database import NoEngine

    try:
        found = database_url(_load_app())
    except NoAppException as error:
        raise click.ClickException(_without_database(error)) from None
    except NoEngine as error:
        raise click.ClickException(str(error)) from None
    if not found:
        raise click.ClickException(_without_database())
    return found


def _without_database(error: Exception | None = None) -> str:
    """Return why no database is known; an application that is there and cannot be imported is named."""
    reason = str(error or "").rstrip().rpartition("\n")[2]
    if reason and not reason.startswith("Could not locate a Flask application"):
        return f"no database: the application cannot be loaded ({reason}): repair it, or give --database-url"
    return "no database: set TELEMETRY_DATABASE_URL or give --database-url"
