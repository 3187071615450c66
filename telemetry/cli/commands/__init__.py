"""The commands of ``flask telemetry``, which :mod:`telemetry.cli.group` imports when they are called."""
