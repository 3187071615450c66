"""The app for a WSGI server: `gunicorn examples.screener.wsgi:app`."""

from .app import create_app

app = create_app()
