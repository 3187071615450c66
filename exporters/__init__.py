"""What leaves the process: rollups of runs, their way to SQL and to metrics, and the SQL tables they end in.

Application code imports `telemetry`; nothing here needs to be imported by hand. Spans become a rollup, a
rollup becomes a snapshot in the spool, and the writer brings it to the tables of :mod:`exporters.sql.schema`.
From the bottom: ``rollup``; ``recording``, ``spool``, ``metrics``, ``privacy``; ``sql``; ``report``,
``integrity``, ``findings``, ``export``, ``archive``, ``upkeep``, ``catalogue``, ``probes``; ``process``.
"""
