"""Pure arithmetic of a run's rollup, without files, a database or metrics.

A process adds up what happens (:mod:`.accumulator`) and saves absolute states (:mod:`.snapshot`), which are
merged in any order (:mod:`.merge`). :mod:`.status` decides on the status of a run.
"""
