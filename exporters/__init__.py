"""Everything that leaves the process: rollups of runs, their delivery to SQL and metrics, and the SQL tables.

Application code imports `telemetry`; nothing here needs to be imported by hand. Spans become a rollup, a
rollup becomes a snapshot in the spool, and the writer brings it to the tables of :mod:`exporters.sql.schema`.
From the bottom: ``rollup``; ``recording``, ``spool``, ``metrics``, ``privacy``; ``sql``; ``reports``,
``integrity``, ``findings``, ``export``, ``archive``, ``upkeep``, ``catalogue``; ``process``.
"""
