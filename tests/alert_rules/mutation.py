"""Small errors in an alert, each of which its cases must reveal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from exporters.alert_rules.alert import Alert

# Neither part of a name, a duration or a window, nor within quotes.
_NUMBER = re.compile(r'(?<![\w.\["])\d+(?:\.\d+)?(?![\w.])(?=(?:[^"]*"[^"]*")*[^"]*$)', re.DOTALL)
_COMPARISON = re.compile(r"(?<= )(?:>=|<=|==|!=|>|<)(?= )")
_OPPOSITE = {">": "<", "<": ">", ">=": "<", "<=": ">", "==": "!=", "!=": "=="}
_AT_THE_THRESHOLD = {">": ">=", "<": "<=", ">=": ">", "<=": "<"}


def mutants(alert: Alert) -> Iterator[tuple[str, Alert]]:
    """Yield errors with what they are: half and double numbers and times, other comparisons.

    Of ``(… > 0)``, which guards a denominator, only the comparison is turned.
    """
    expression = alert.expression
    for match in _NUMBER.finditer(expression):
        if expression[match.end() :].startswith(")"):
            continue
        for changed in _numbers(float(match[0])):
            yield f"{match[0]} is {changed}", replace(alert, expression=_with(expression, match, changed))
    for match in _COMPARISON.finditer(expression):
        changed = _OPPOSITE[match[0]]
        yield f"{match[0]} is {changed}", replace(alert, expression=_with(expression, match, changed))
        if expression[match.end() :].startswith(" 0)"):
            continue
        if match[0] in _AT_THE_THRESHOLD and alert.name not in MEASURED:
            changed = _AT_THE_THRESHOLD[match[0]]
            yield f"{match[0]} is {changed}", replace(alert, expression=_with(expression, match, changed))
    if alert.for_seconds:
        for seconds in (alert.for_seconds // 2, alert.for_seconds * 2):
            yield f"for is {seconds} s", replace(alert, for_seconds=seconds)
    else:
        yield "for is 5 minutes", replace(alert, for_seconds=300, at_once="")


MEASURED = {
    "AnalysisFailingFast",
    "AnalysisFailingSlowly",
    "AnalysisStageSlow",
    "AnalysisOpenAIErrors",
    "AnalysisRetriesExhausted",
}
"""Alerts about rates, which never are exactly at a threshold."""


def _numbers(value: float) -> tuple[str, ...]:
    """Return half and double a number; 0, which has neither, becomes 2."""
    return (f"{value / 2:g}", f"{value * 2:g}") if value else ("2",)


def _with(expression: str, match: re.Match[str], changed: str) -> str:
    return expression[: match.start()] + changed + expression[match.end() :]
