"""``flask telemetry``: a module for each group of commands, imported when one is called.

:mod:`.group` lists all commands with their short help and their sections; :mod:`.report_page` prints the
report.
"""
