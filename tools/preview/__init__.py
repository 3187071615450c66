"""A page that draws the dashboards without Grafana, and pictures of it: ``make pictures``."""
