"""``flask telemetry``: the commands by noun, imported when they are called, and how they print.

All commands, their short help and their sections are in :mod:`.group`; what `report` shows is in
:mod:`.report_page`.
"""
