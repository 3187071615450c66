"""Panels of one subject, for dashboards with more panels than a file has room for."""
