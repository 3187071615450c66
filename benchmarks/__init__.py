"""Measurements of what our parts cost: ``python -m benchmarks.<name>``.

Every benchmark runs with and without the part in one process, in turns, so that a busy machine slows both
equally. The last line printed is JSON: ``name``, ``ratio`` (with the part to without it) or other
figures, ``target`` and ``met``. The exit status does not depend on speed: a slow machine is no defect.
"""
