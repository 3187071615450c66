"""Pure arithmetic of a run's rollup, without files, a database or metrics.

A process adds up what happens (:mod:`.accumulator`) and hands over absolute states (:mod:`.snapshot`), which
are merged in any order (:mod:`.merge`). The status of a run is decided in :mod:`.status`.
"""
