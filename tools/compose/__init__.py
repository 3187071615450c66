"""Bring up docker-compose.yml: its settings with new secrets, and the addresses at the end.

Needs nothing but Python and Docker, so that `make up` works in a fresh clone.
"""
