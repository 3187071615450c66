"""Compare the databases with the applications' journals and the stand-in's ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from examples.screener.standin.calls import fingerprint
from tests.end_to_end.ledger import Line, Truth, truth
from tests.soak.fire import Damage
from tests.soak.system import Job, System
from tests.soak.tenant import Tenant
from tests.soak.worker import api_key, forks

SUMS = ("attempts", "rate_limit_hits", "input_tokens", "output_tokens", "cost_pico")


@dataclass
class Verdict:
    """The numbers of runs that ended and were cut short, and the problems with them."""

    ended: int = 0
    cut_short: int = 0
    begun_unnoted: int = 0
    """Runs whose process was killed after it began them, and before it wrote so into its journal."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    false_complete: list[str] = field(default_factory=list)
    """Runs that are marked as complete, although they cost less than was billed."""
    foreign: list[str] = field(default_factory=list)
    """Runs in the database of another tenant, and runs that another user forged."""
    longest_block_ms: float = 0.0
    """The longest time that telemetry blocked a thread of the application."""
    longest_plain_ms: float = 0.0
    """The longest time that a plain file replacement took in the same threads."""


@dataclass
class _Run:
    """What the application knows of one run."""

    number: int
    run_id: str
    is_ended: bool = False
    had_room: bool = True
    least_pico: int = 0
    """The cost in its last snapshot on the disk."""


def judge(system: System, damage: Damage) -> Verdict:
    """Compare run by run.

    A run that ended must be exact, unless something was billed that no answer reported; then it may be less,
    but must be marked as incomplete. One that was cut short must have at least its last snapshot.
    """
    verdict, ledger = Verdict(), _ledger(system)
    owners = {run_id: job.tenant for job in system.jobs for run_id in _run_ids(job)}
    for tenant in system.tenants:
        rows = {
            row["run_id"]: row for row in tenant.rows("SELECT * FROM telemetry_runs WHERE kind = 'analysis'")
        }
        for run_id in list(rows):
            if run_id in damage.forged or owners.get(run_id, tenant) is not tenant:
                del rows[run_id]
                verdict.foreign.append(f"{run_id} is in {tenant.name}")
        _judge_tenant(verdict, system, tenant, rows, ledger)
    verdict.lost += (*damage.waiting, *damage.lost_writes)
    verdict.lost += [f"a process ended by itself: {job.journal.name}" for job in system.jobs if _died(job)]
    verdict.longest_block_ms = max(_took(system, "blocked_ms"), default=0.0)
    verdict.longest_plain_ms = max(_took(system, "plain_ms"), default=0.0)
    return verdict


def _judge_tenant(
    verdict: Verdict,
    system: System,
    tenant: Tenant,
    rows: dict[str, dict[str, Any]],
    ledger: dict[str, list[Line]],
) -> None:
    jobs = [job for job in system.jobs if job.tenant is tenant]
    stages = _stage_sums(tenant)
    shown = {row["id"]: row for row in tenant.rows("SELECT id, status, total_api_cost FROM analyses")}
    for run in _runs(jobs).values():
        row, lines = rows.pop(run.run_id, None), ledger[fingerprint(api_key(run.number).encode())]
        billed = truth(lines)
        if row is not None and row["cost_complete"] and row["cost_pico"] != billed.cost_pico:
            verdict.false_complete.append(
                f"analysis {run.number}: {row['cost_pico']} of {billed.cost_pico}, {row['status']}"
            )
        if run.is_ended:
            verdict.ended += 1
            _judge_ended(verdict, run, row, lines, stages[run.run_id], shown[run.number])
        else:
            verdict.cut_short += 1
            _judge_cut_short(verdict, run, row, billed)
    _judge_unnoted(verdict, jobs, list(rows.values()))
    _judge_users(verdict, tenant)


def _judge_ended(
    verdict: Verdict,
    run: _Run,
    row: dict[str, Any] | None,
    lines: list[Line],
    stages: dict[str, int],
    shown: dict[str, Any],
) -> None:
    if row is None or row["status"] != "completed":
        verdict.lost.append(f"analysis {run.number} ended, but is {row and row['status']}")
        return
    # An answer that broke off reported nothing; calls of a forked child are lost with it.
    least, most = truth(line for line in lines if not line["cut"]), truth(lines)
    is_reported = not forks(run.number) and least.cost_pico == most.cost_pico
    for name in SUMS:
        here = f"analysis {run.number}: {name} {row[name]} of {getattr(most, name)}, by stage {stages[name]}"
        if (row[name] < getattr(least, name) and not forks(run.number)) or stages[name] < row[name]:
            verdict.lost.append(here)
        if row[name] > getattr(most, name) or stages[name] > row[name]:
            verdict.doubled.append(here)
    if is_reported and not row["cost_complete"]:
        verdict.lost.append(f"analysis {run.number} is exact, and does not say so")
    if shown["status"] != "completed" or round(shown["total_api_cost"] * 10**12) != row["cost_pico"]:
        verdict.lost.append(f"the row of analysis {run.number} does not show it: {shown}")


def _judge_cut_short(verdict: Verdict, run: _Run, row: dict[str, Any] | None, billed: Truth) -> None:
    if row is None:
        if run.had_room:
            verdict.lost.append(f"analysis {run.number} was cut short, and there is nothing of it")
        return
    # If its snapshots were shed, only later silence shows that its process has died.
    if row["status"] not in ("interrupted", "completed") and run.had_room:
        verdict.lost.append(f"analysis {run.number} was cut short, but is {row['status']}")
    if row["cost_pico"] < run.least_pico:
        verdict.lost.append(f"analysis {run.number}: {row['cost_pico']} of at least {run.least_pico}")
    if row["cost_pico"] > billed.cost_pico:
        verdict.doubled.append(f"analysis {run.number}: {row['cost_pico']} of at most {billed.cost_pico}")


def _judge_unnoted(verdict: Verdict, jobs: list[Job], rows: list[dict[str, Any]]) -> None:
    """Judge rows whose ids are in no journal: their process must have been killed while it opened a run."""
    opening = Counter(number for job in jobs for number in job.opening)
    for row in rows:
        number, spent = row["criteria"], [row[name] for name in SUMS]
        if opening[number] and row["status"] == "interrupted" and not any(spent):
            opening[number] -= 1
            verdict.begun_unnoted += 1
        else:
            verdict.doubled.append(
                f"analysis {number}: a run that nobody began, {row['status']}, {spent}: {row['run_id']}"
            )


def _judge_users(verdict: Verdict, tenant: Tenant) -> None:
    """Check users' totals, which must include all ended runs, and may include those that still run."""
    query = """
        SELECT users.id, total_jobs_run AS jobs, total_api_spend AS spent,
            COUNT(*) FILTER (WHERE status <> 'running') AS least_jobs, COUNT(*) AS most_jobs,
            SUM(cost_pico) FILTER (WHERE status <> 'running') AS least, SUM(cost_pico) AS most
        FROM users JOIN telemetry_runs ON user_ref = users.id GROUP BY users.id
    """
    for row in tenant.rows(query):
        jobs, pico = row["jobs"] or 0, round((row["spent"] or 0) * 10**12)
        here = f"user {row['id']} of {tenant.name}: {jobs} jobs, {pico} pico-dollars; right: {row}"
        if jobs > row["most_jobs"] or pico > row["most"]:
            verdict.doubled.append(here)
        elif jobs < row["least_jobs"] or pico < (row["least"] or 0):
            verdict.lost.append(here)


def _died(job: Job) -> bool:
    return not job.was_killed and job.process.returncode != 0


def _run_ids(job: Job) -> set[str]:
    return {event["run_id"] for event in job.events() if "run_id" in event}


def _runs(jobs: list[Job]) -> dict[str, _Run]:
    runs: dict[str, _Run] = {}
    for job in jobs:
        for event in job.events():
            if event["event"] == "opening":
                continue
            run = runs.setdefault(event["run_id"], _Run(event["number"], event["run_id"]))
            run.is_ended = run.is_ended or event["event"] == "ended"
            run.had_room = not job.has_small_spool
            if (left := job.left.get(run.run_id)) is not None:
                run.least_pico = sum(usage.cost_pico for usage in left.usage.values())
    return runs


def _ledger(system: System) -> dict[str, list[Line]]:
    lines: dict[str, list[Line]] = defaultdict(list)
    for line in system.standin.ledger()["attempts"]:
        lines[line["authorization"]].append(line)
    return lines


def _stage_sums(tenant: Tenant) -> dict[str, dict[str, int]]:
    sums = ", ".join(f"SUM({name}) AS {name}" for name in SUMS)
    rows = tenant.rows(f"SELECT run_id, {sums} FROM telemetry_stage_usage GROUP BY run_id")
    sums_by_run = {row["run_id"]: {name: int(row[name]) for name in SUMS} for row in rows}
    return defaultdict(lambda: dict.fromkeys(SUMS, 0), sums_by_run)


def _took(system: System, what: str) -> Iterator[float]:
    for job in system.jobs:
        for event in job.events():
            if what in event:
                yield event[what]
