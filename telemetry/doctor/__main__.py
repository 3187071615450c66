"""``python -m telemetry.doctor``."""

import sys

from .report import command

sys.exit(command())
