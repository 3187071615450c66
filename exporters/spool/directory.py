"""The spool of a process: its snapshots on a local disk, until the database has them.

If a process dies, its last snapshots are still there.

Layout, below TELEMETRY_SPOOL_DIR::

    <database>/<process>/lock              held by the living process (lockf)
    <database>/<process>/<fragment>.json   the newest snapshot of one fragment
    <database>/<process>/metrics-port      the port of its metrics listener
    <database>/dead/                       the quarantine: what the database refuses for good
    <database>/unreadable/                 files that are no valid entries; set aside, never deleted

One file per fragment, replaced by a rename: a reader sees the old state or the new one. There is no fsync,
so a power loss is not covered. A process keeps its ``lock`` open and locked. A process that gets the lock of
another directory knows that the other process is dead, even in another container, and takes its files over.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from exporters.metrics.totals import Totals
from exporters.rollup.snapshot import Snapshot
from telemetry import conventions as c
from telemetry._internal.guard import count_error
from telemetry.settings import Settings, default_spool_dir

from .entry import ANY, Entry, Target
from .own_directory import OwnDirectory
from .private import NotOursError, replace_file, why_not_own
from .quarantine import Quarantined, quarantine, quarantined
from .takeover import Takeover, directories_in, is_foreign, locked_if_dead
from .unreadable import read, unreadable
from .waiting import Backlog, Waiting

_log = logging.getLogger("telemetry")


class Spool:
    """The snapshots and warning events of this process that wait for the database. Safe from any thread."""

    def __init__(self, settings: Settings, totals: Totals) -> None:
        """Keep snapshots below ``settings.spool_dir``; ``totals`` counts those that are shed."""
        key = settings.spool_key()
        self._target = Target(key, settings.spool_user()) if settings.database_url else ANY
        self._root = settings.spool_dir / key
        self._old_roots = {
            settings.spool_dir / key: is_shared for key, is_shared in settings.old_spool_keys().items()
        }
        """Folders of this database in earlier versions, and whether they may have entries for others, too."""
        self._max_bytes = settings.spool_max_bytes
        self._totals = totals
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._backlog = Backlog()
        self._others_bytes = 0
        self._is_refused = False
        """Whether it was logged that the directory belongs to another user."""
        self.process_id = uuid.uuid4().hex
        """Id of this process: the name of its directory, which is also recorded in its fragments."""
        self._own = OwnDirectory(self._root, self.process_id)

    @property
    def root(self) -> Path:
        """The folder of this database."""
        return self._root

    def directory(self) -> Path:
        """Return the directory of this process. The first call creates and locks it.

        Raises:
            OSError: if it cannot be created.
        """
        with self._lock:
            return self._own.make()

    def put(self, entry: Entry) -> None:
        """Write ``entry`` as the newest state of its fragment, by replacing one file.

        If the disk fails, the entry waits in memory for the writer.

        Raises:
            OSError: if the entry could only be kept in memory.
        """
        with self._lock:
            known = self._backlog.get(entry.fragment_id)
            if known is not None and known.seq >= entry.seq:
                return
            self._keep(entry, known)

    def due(self) -> list[Waiting]:
        """Return the fragments that are to be delivered: ended ones first, then by age."""
        with self._lock:
            due = self._backlog.due()
        return sorted(due, key=lambda waiting: (not waiting.is_closed, waiting.since))

    def count_due(self) -> int:
        """Return the number of fragments that are to be delivered."""
        with self._lock:
            return self._backlog.count_due()

    def due_among(self, fragment_ids: Collection[str]) -> set[str]:
        """Return those of the fragments that are to be delivered."""
        with self._lock:
            return self._backlog.due_among(fragment_ids)

    def newest(self, waiting: Waiting) -> Entry | None:
        """Return the newest state of ``waiting``. If its file is damaged, forget it and return None."""
        if (loaded := waiting.entry) is not None:
            return loaded
        with self._lock:
            file = self._own.file(waiting.fragment_id)
        entry = read(file, self._root, self._target)
        if entry is None:
            with self._lock:
                self._drop(waiting.fragment_id)
        return entry

    def unload(self) -> None:
        """Release the memory of ended fragments that are on the disk, as an outage may be long."""
        with self._lock:
            self._backlog.unload()

    def delivered(self, entry: Entry) -> None:
        """Note that ``entry`` is committed; forget its fragment if this was the final state."""
        with self._lock:
            if self._backlog.delivered(entry.fragment_id, entry.seq):
                self._drop(entry.fragment_id)

    def quarantine(self, entry: Entry, reason: str) -> None:
        """Put ``entry``, which the database refuses for good, into quarantine.

        A newer state of its fragment, which came meanwhile, still waits: it may be the final one.
        """
        with self._lock:
            quarantine(self._root, entry, reason, self._target)
            known = self._backlog.get(entry.fragment_id)
            if known is None or known.seq <= entry.seq:
                self._drop(entry.fragment_id)

    def pending(self) -> int:
        """Return the number of snapshots of this process that wait, for the metric."""
        return self.count_due()

    def oldest_age(self) -> float:
        """Return for how many seconds the oldest of them has waited; 0 without any."""
        due = self.due()
        return time.monotonic() - min(waiting.since for waiting in due) if due else 0.0

    def dead(self) -> int:
        """Return the number of snapshots in quarantine."""
        return sum(1 for _ in self.quarantined())

    def quarantined(self) -> Iterator[Quarantined]:
        """Yield the contents of the quarantine."""
        yield from quarantined(self._root)
        for root, is_ambiguous in self._old_roots.items():
            if not is_ambiguous:
                yield from (replace(entry, is_shielded=True) for entry in quarantined(root))

    def unreadable(self) -> Iterator[Path]:
        """Yield the files that are set aside because they are no valid entries."""
        for root in (self._root, *self._old_roots):
            yield from unreadable(root)

    def has_other_directories(self) -> bool:
        """Return whether there are directories of other processes, living or dead."""
        return any(True for _ in self.other_directories())

    def foreign_directory(self) -> Path | None:
        """Return the directory of another user that makes the spool unusable; None if there is none."""
        # The parent matters only in the default place, where any user may have created it.
        places = [self._root.parent] if self._root.parent == default_spool_dir() else []
        return next((place for place in (*places, self._root) if is_foreign(place)), None)

    def other_directories(self) -> Iterator[Path]:
        """Yield the directories of other processes, living or dead."""
        if self.foreign_directory() == self._root.parent:
            self._refuse(NotOursError(f"{self._root.parent}: {why_not_own(self._root.parent)}"))
            return
        for root in (self._root, *self._old_roots):
            yield from directories_in(root, self._own.path)

    def takeovers(self) -> Iterator[Takeover]:
        """Yield the directories of dead processes; each is locked until the next one is requested."""
        for path in list(self.other_directories()):
            with locked_if_dead(path) as is_dead:
                if is_dead:
                    is_old, is_ambiguous = path.parent != self._root, self._old_roots.get(path.parent, False)
                    yield Takeover(path, self._root, self._target, is_old, is_ambiguous)

    def measure(self) -> None:
        """Measure what other processes have in the spool, because the size limit applies to the whole."""
        others = sum(_size(path) for path in self.other_directories())
        with self._lock:
            self._others_bytes = others
            self._own.touch()

    def close(self) -> None:
        """Unlock the directory; remove it if nothing waits, else leave it for a takeover."""
        with self._lock:
            if self._own.path is None:
                return
            if not self._backlog:
                shutil.rmtree(self._own.path, ignore_errors=True)
            self._own.leave()

    def after_fork(self) -> None:
        """Start empty in a forked child, with a directory of its own."""
        inherited = self._own
        self._reset()
        inherited.after_fork()

    def publish_port(self, port: int) -> None:
        """Write the port of this process's metrics listener into its directory."""
        replace_file(self.directory() / "metrics-port", f"{port}\n")

    def _keep(self, entry: Entry, known: Waiting | None) -> None:
        text, on_disk = self._target.write(entry), known.size if known else 0
        too_much = self._others_bytes + self._backlog.bytes + len(text) - on_disk - self._max_bytes
        if too_much > 0:
            entry, text = self._shed(entry, text, too_much)
        size = len(text) or on_disk  # if a checkpoint is shed, the file of the one before it stays
        since = known.since if known is not None and known.is_due else time.monotonic()
        sent_seq = known.sent_seq if known else 0
        waiting = Waiting(entry.fragment_id, entry.seq, entry.is_closed, size, since, sent_seq, entry)
        self._backlog.add(waiting, known)
        self._own.touch()
        if text:
            try:
                self._write(entry.fragment_id, text)
            except NotOursError as error:  # logged once; the next entry tries again
                self._refuse(error)
            else:
                self._backlog.written(waiting)

    def _refuse(self, error: NotOursError) -> None:
        count_error("spool")
        if not self._is_refused:
            self._is_refused = True
            _log.error(
                "telemetry cannot save anything to the disk: %s; name a directory that this user owns in"
                " TELEMETRY_SPOOL_DIR",
                error,
            )

    def _write(self, fragment_id: str, text: str) -> None:
        try:
            replace_file(self._own.file(fragment_id), text)
        except FileNotFoundError:  # the directory was removed, such as by a cleaner of old files
            self._own.leave()
            self._backlog.lost()
            replace_file(self._own.file(fragment_id), text)

    def _shed(self, entry: Entry, text: str, too_much: int) -> tuple[Entry, str]:
        """Shed something, because the size limit is reached.

        A checkpoint is only kept in memory. For a final state the files of checkpoints are removed, then its
        documents are dropped.
        """
        if not entry.is_closed:
            self._totals.add(c.SPOOL_SHED, 1, what="checkpoint")
            return entry, ""
        too_much -= self._shed_checkpoints(too_much, entry.fragment_id)
        if too_much > 0 and isinstance(entry, Snapshot) and entry.documents:
            self._totals.add(c.SPOOL_SHED, 1, what="documents")
            entry = replace(entry, documents=[], shed=len(entry.documents))
            return entry, self._target.write(entry)
        return entry, text

    def _shed_checkpoints(self, too_much: int, kept: str) -> int:
        """Remove files of open fragments except ``kept``, the largest first, to free that many bytes."""
        freed = 0
        for waiting in self._backlog.checkpoints():
            if freed >= too_much:
                break
            if waiting.fragment_id != kept:
                self._own.file(waiting.fragment_id).unlink(missing_ok=True)
                freed, waiting.size = freed + waiting.size, 0
                self._totals.add(c.SPOOL_SHED, 1, what="checkpoint")
        self._backlog.bytes -= freed
        return freed

    def _drop(self, fragment_id: str) -> None:
        self._backlog.drop(fragment_id)
        self._own.remove(fragment_id)


def _size(directory: Path) -> int:
    try:
        return sum(file.lstat().st_size for file in directory.glob("*.json"))
    except OSError:  # delivered meanwhile, or of another user
        return 0
