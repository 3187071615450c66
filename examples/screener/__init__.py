"""Screener: a small host application that ranks candidates for a job description."""
