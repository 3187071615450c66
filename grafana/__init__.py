"""The dashboards for Grafana, as code. `make dashboards` writes them to `grafana/dashboards/`."""
