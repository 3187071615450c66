"""What a run comes to: pure arithmetic, without clocks, threads, files or a database.

A process adds up what happens (:mod:`.accumulator`) and hands over absolute states (:mod:`.snapshot`), which
are merged in any order (:mod:`.merge`). How a run ended is judged in :mod:`.status`.
"""
