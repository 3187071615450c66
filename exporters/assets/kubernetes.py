"""The dashboards and the rules as objects of Kubernetes: for Grafana's sidecar, and Prometheus Operator.

Both are text in a block, so that a difference between two versions can be read.
"""

from __future__ import annotations

from typing import Final

LABEL: Final = "grafana_dashboard"
"""By this label Grafana's sidecar finds dashboards, unless it is configured otherwise."""
FOLDER: Final = "Analyses"
PART_OF: Final = "app.kubernetes.io/part-of: analysis-telemetry"
"""The label of all objects, by which they can be found and pruned."""


def dashboard(name: str, content: str) -> str:
    """Return a ConfigMap with a dashboard.

    Args:
        name: of its file.
        content: of its file.
    """
    return (
        "apiVersion: v1\n"
        "kind: ConfigMap\n"
        "metadata:\n"
        f"  name: {name.removesuffix('.json')}\n"
        "  labels:\n"
        f"    {PART_OF}\n"
        f'    {LABEL}: "1"\n'
        "  annotations:\n"
        f'    grafana_folder: "{FOLDER}"\n'
        "data:\n"
        f"  {name}: |\n"
        f"{_indented(content, 4)}"
    )


def rules(name: str, content: str) -> str:
    """Return a PrometheusRule with the groups of a file of rules.

    Args:
        name: of the file.
        content: of the file; it begins with a comment.
    """
    head, _, groups = content.partition("\n")
    return (
        f"{head}\n"
        "apiVersion: monitoring.coreos.com/v1\n"
        "kind: PrometheusRule\n"
        "metadata:\n"
        f"  name: analysis-{name.removesuffix('.yml')}\n"
        "  labels:\n"
        f"    {PART_OF}\n"
        "spec:\n"
        f"{_indented(groups, 2)}"
    )


def _indented(text: str, width: int) -> str:
    return "".join(f"{' ' * width}{line}" if line.strip() else line for line in text.splitlines(True))
