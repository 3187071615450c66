"""What our parts cost, measured: ``python -m benchmarks.<name>``.

Every benchmark runs with and without the part in one process, in turns, so that a busy machine weighs on
both alike. The last line printed is JSON: ``name``, ``ratio`` (with the part to without it) or other
figures, ``target`` and ``met``. The exit status says nothing of speed: a slow machine is no defect.
"""
