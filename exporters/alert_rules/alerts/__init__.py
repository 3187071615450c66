"""The alerts, those of one subject in one module."""
