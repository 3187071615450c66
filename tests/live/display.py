"""What `make e2e` prints: on a terminal a line for each alert under way, else one for each that is done."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from tests.live.compressed import FACTOR
from tests.live.proof import Outcome

COLOURS: Final = {"provoked": "yellow", "fired": "red", "cured": "cyan", "resolved": "green"}


class Display:
    """Shows alerts come and go."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[state]}"),
            _Seconds(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def report(self, alert: str, state: str) -> None:
        """Show what has become of an alert; without one, the state is a problem."""
        if not alert:
            self._console.print(f"[red]✗[/] {state}", soft_wrap=True, highlight=False)
        elif self._console.is_terminal:
            self._show(alert, state)
        elif state in ("fired", "resolved"):
            self._console.print(f"{time.monotonic() - self._began:6.1f} s  {alert} {state}", highlight=False)

    def _show(self, alert: str, state: str) -> None:
        shown = f"[{COLOURS[state]}]{state}[/]"
        if state == "provoked":
            self._tasks[alert] = self._progress.add_task(alert, total=1, state=shown)
            return
        self._progress.update(self._tasks[alert], state=shown)
        if state == "resolved":
            self._progress.remove_task(self._tasks.pop(alert))
            self._console.print(f"[green]✓[/] {alert}", highlight=False)

    def table(self, outcomes: list[Outcome], not_provoked: dict[str, str]) -> None:
        """Print the table of all alerts."""
        table = Table("alert", "provoked how", "fired after", "cured how", "resolved after", box=None)
        for one in outcomes:
            fired, resolved = (f"{seconds:.0f} s" for seconds in (one.fired_after, one.resolved_after))
            table.add_row(one.alert, one.how, fired, one.cure, resolved)
        for alert, reason in not_provoked.items():
            table.add_row(f"[dim]{alert}", f"[dim]not provoked: {reason}", "", "", "")
        self._console.print(table, highlight=False)
        self._console.print(
            f"{len(outcomes)} alerts fired and ended."
            f" Time was compressed: an hour of the rules took {3600 / FACTOR:.0f} seconds."
        )


class _Seconds(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.elapsed or 0:5.1f} s", style="dim")
