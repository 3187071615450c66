"""The progress of the demo: bars on a terminal, else a plain line for each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

Report = Callable[[float], None]
"""Called with the amount of a step that is done."""


class Steps:
    """Shows one step after another."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Seconds(),
            console=console,
            disable=not console.is_terminal,
        )
        self._console = console

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextmanager
    def step(self, text: str, total: float | None = None) -> Iterator[Report]:
        """Show a step while it runs; without a `total` its progress is not known."""
        task = self._progress.add_task(text, total=total)
        yield lambda done: self._progress.update(task, completed=done)
        whole = total or 1
        self._progress.update(task, total=whole, completed=whole)
        if not self._console.is_terminal:
            elapsed = self._progress.tasks[task].elapsed or 0
            self._console.print(f"✓ {text} [dim]({elapsed:.1f} s)", highlight=False)


class _Seconds(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{(task.finished_time if task.finished else task.elapsed) or 0:5.1f} s", style="dim")
