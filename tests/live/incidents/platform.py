"""Incidents of the programs around the application."""

from __future__ import annotations

from collections.abc import Iterator

from tests.live.incident import incident
from tests.live.system import System
from tests.prometheus import CLOSED


@incident(
    "AnalysisMetricsAbsent",
    also=("OtelcolDown",),  # Prometheus finds its targets after five seconds, however fast time passes
    how="the application is not started",
    cure="it is started",
)
def application_off(system: System) -> Iterator[None]:
    yield
    system.start_application()
    system.draft("usual", resumes=6)


@incident("Watchdog", how="Prometheus is started", cure="it is killed")
def prometheus_dies(system: System) -> Iterator[None]:
    yield
    system.prometheus.kill()


@incident(
    "PrometheusTargetDown",
    how="postgres_exporter is killed",
    cure="it is started",
)
def target_down(system: System) -> Iterator[None]:
    system.exporter.kill()
    yield
    system.exporter.__enter__()


@incident(
    "PrometheusConfigReloadFailed",
    how="Prometheus is told to load a configuration with a mistake",
    cure="to load the one before",
)
def prometheus_misconfigured(system: System) -> Iterator[None]:
    system.prometheus.configure(system.prometheus_configuration + "no_such_setting: 1\n")
    system.prometheus.reload()
    yield
    system.prometheus.configure(system.prometheus_configuration)
    system.prometheus.reload()


@incident(
    "PrometheusRulesFailing",
    how="a rule that cannot be evaluated is loaded",
    cure="it is taken away",
)
def rule_fails(system: System) -> Iterator[None]:
    own = system.prometheus.folder / "rules" / "own.yml"
    own.write_text(
        "groups: [{name: own, interval: 1s, rules: [{record: own:up:product, expr: up * on () up}]}]\n"
    )
    system.prometheus.reload()
    yield
    own.unlink()
    system.prometheus.reload()


@incident(
    "PrometheusNotificationsFailing",
    how="a second Alertmanager, which is down, is added to the configuration",
    cure="it is taken out",
)
def second_alertmanager_down(system: System) -> Iterator[None]:
    place = system.alertmanager.url.removeprefix("http://")
    both = f'alertmanagers:\n    - static_configs: [{{targets: ["{place}", "{CLOSED}"]}}]'
    one = f'alertmanagers:\n    - static_configs: [{{targets: ["{place}"]}}]'
    assert one in system.prometheus_configuration
    system.prometheus.configure(system.prometheus_configuration.replace(one, both))
    system.prometheus.reload()
    yield
    system.prometheus.configure(system.prometheus_configuration)
    system.prometheus.reload()


@incident(
    "AlertmanagerConfigReloadFailed",
    also=("AlertmanagerNotificationsFailing",),  # a reload ends what is just being sent
    how="Alertmanager is told to load a configuration with a mistake",
    cure="to load the one before",
)
def alertmanager_misconfigured(system: System) -> Iterator[None]:
    system.alertmanager.configure(system.alertmanager_configuration + "no_such_setting: 1\n")
    system.alertmanager.reload()
    yield
    system.alertmanager.configure(system.alertmanager_configuration)
    system.alertmanager.reload()


@incident(
    "AlertmanagerNotificationsFailing",
    how="the webhook for Watchdog answers 404",
    cure="it answers 200",
)
def webhook_gone(system: System) -> Iterator[None]:
    system.notifications.refused.add("watchdog")
    yield
    system.notifications.refused.discard("watchdog")
