"""What nurseries import."""

from __future__ import annotations

LIBRARIES = """
import alembic.command, flask, flask.cli, flask_sqlalchemy, genai_prices, numpy, openai, psycopg2, sqlalchemy
import genai_prices.data, openai.lib.streaming.chat, openai.resources.chat
import openai.resources.embeddings, openai.resources.responses.responses, openai.resources.completions
import anyio.streams.tls, certifi, h11, httpcore2, requests, truststore
import sqlalchemy.dialects.postgresql.psycopg2, sqlalchemy.dialects.sqlite
import apprise, cachetools, prometheus_client, psycopg, pyarrow, rich.markdown, rich.table
import opentelemetry.exporter.otlp.proto.http.trace_exporter, opentelemetry.sdk._configuration
import opentelemetry.instrumentation.flask, opentelemetry.instrumentation.sqlalchemy
import opentelemetry.instrumentation.genai.openai, opentelemetry.instrumentation.threading
import opentelemetry.exporter.prometheus, pyarrow.parquet, sqlalchemy.ext.asyncio
"""
"""What hosts and our commands import of others."""
PROJECT = f"""
{LIBRARIES}
import telemetry
import exporters.integrity.watch, exporters.privacy.exporters, exporters.process.pipeline
import exporters.sql.database, exporters.sql.projection, exporters.sql.storage, exporters.sql.writer
import exporters.export.formats, exporters.export.jobs, exporters.sql.schema.migrate
import exporters.process.gauges, exporters.process.spool_keeper, exporters.upkeep.health_log
import telemetry.cli.application, telemetry.cli.commands, telemetry.cli.group, telemetry.doctor.report
import telemetry.openai.calls, telemetry.setup.configurator, telemetry.setup.process, telemetry.web.extension
"""
"""The same, and the parts of this checkout that work in a host."""
