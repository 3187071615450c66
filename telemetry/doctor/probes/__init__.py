"""Queries of the doctor to the database, the Collector and Prometheus, and about its own run."""
