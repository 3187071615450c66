"""``flask telemetry``: the commands, and how their answers are printed.

What `report` shows is in :mod:`.report_page`.
"""
