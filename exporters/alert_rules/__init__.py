"""The alert rules for Prometheus, generated from the settings and the declared metrics.

Rules of one subject are in one module. :mod:`.groups` collects them, :mod:`.files` writes them as YAML.
"""
