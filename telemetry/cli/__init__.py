"""``flask telemetry``: :mod:`.group` lists all commands with their short help and their sections.

:mod:`.commands` has a module for each group of commands, imported when one is called, and :mod:`.report_page`
prints the report. The other modules are what commands share: options, the application and its database,
errors, tables and amounts of money, and standard output.
"""
