"""Which résumés are hard to process."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import QUALITY
from grafana.parts.dashboard import Board, row
from grafana.parts.filters import bucket, documents, jobs
from grafana.parts.kinds import bars, figures, matrix, rows
from grafana.parts.panels import BYTES, COUNT, SECONDS, SHARE, About, Column, Owner, over_time, sql
from grafana.parts.plots import course, scatter

from .common.colors import ERROR_TYPES
from .common.shared import IDS, JOB_IDS
from .panels.bins import LENGTHS, SIZES

NO_FILES: Final = "No job of this period recorded its documents."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=QUALITY,
        title="Résumé quality",
        description="Size, length and time of documents: which ones are slow, cannot be read or hold no text.",
        rows=(
            row(5, (8, _read()), (8, _lengths()), (8, _descriptions())),
            row(10, (12, _matrix()), (12, _scatter())),
            row(9, (12, _by_type()), (12, _failures())),
            row(8, (12, _distribution()), (12, _jd_distribution())),
            row(11, _problems()),
        ),
    )


def _read() -> Panel:
    return figures(
        About(
            title="Documents",
            question="How many documents were there, which share was scored, and how many have fewer than 250 characters?",
            empty=NO_FILES,
        ),
        sql(f"""
WITH {documents("outcome", "characters")}
SELECT count(*) AS "Documents",
  CAST(count(*) FILTER (WHERE outcome = 'scored') AS numeric) / nullif(count(*), 0) AS "Scored",
  count(*) FILTER (WHERE characters < 250) AS "Almost empty"
FROM file"""),
        unit=COUNT,
        columns={
            "Scored": Column(unit=SHARE, decimals=1, limits={0: "red", 0.9: "orange", 0.97: "green"}),
            "Almost empty": Column(limits={0: "green", 1: "orange"}),
        },
    )


def _lengths() -> Panel:
    return figures(
        About(title="Length of résumés", question="How many characters does a résumé have?"),
        sql(f"""
WITH {jobs("resume_characters", "n_documents", "resume_characters_min", "resume_characters_max")}
SELECT sum(resume_characters) FILTER (WHERE n_documents > 0) / nullif(sum(n_documents) FILTER (WHERE resume_characters IS NOT NULL), 0) AS "Average",
  min(resume_characters_min) AS "Shortest", max(resume_characters_max) AS "Longest"
FROM job"""),
        unit=COUNT,
    )


def _descriptions() -> Panel:
    return figures(
        About(
            title="Length of job descriptions", question="How many characters does a job description have?"
        ),
        sql(f"""
WITH {jobs("jd_characters")}
SELECT avg(jd_characters) AS "Average", min(jd_characters) AS "Shortest", max(jd_characters) AS "Longest" FROM job"""),
        unit=COUNT,
    )


def _matrix() -> Panel:
    return matrix(
        About(
            title="Seconds by file size and length",
            question="Which files are slow? Median time to process a document, by size (rows) and characters (columns).",
            owner=Owner.DEVELOPERS,
            empty=NO_FILES,
        ),
        sql(f"""
WITH {documents("size_bytes", "characters", "processing_seconds")}, bin AS (
  SELECT {SIZES.place("size_bytes")} AS size, {LENGTHS.place("characters")} AS length,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY processing_seconds) AS seconds
  FROM file WHERE size_bytes IS NOT NULL AND characters IS NOT NULL AND processing_seconds IS NOT NULL
  GROUP BY 1, 2)
SELECT {SIZES.name("size")} AS "File size", {LENGTHS.name("length")} AS "Characters", seconds AS "Seconds"
FROM bin ORDER BY 2, 1"""),
        unit=SECONDS,
        down="File size",
        across="Characters",
        value="Seconds",
        limits={0: "green", 2: "yellow", 5: "orange", 10: "red"},
    )


def _scatter() -> Panel:
    return scatter(
        About(
            title="File size, length and time",
            question="Which documents stand out? Each point is one; its colour is the time to process it.",
            owner=Owner.DEVELOPERS,
            empty=NO_FILES,
        ),
        sql(f"""
WITH {documents("size_bytes", "characters", "processing_seconds", "trace_id")}
SELECT size_bytes AS "File size", characters AS "Characters", processing_seconds AS "Duration",
  analysis_ref AS "Analysis", trace_id AS "Trace"
FROM file WHERE size_bytes IS NOT NULL AND characters IS NOT NULL ORDER BY started_at DESC LIMIT 2000"""),
        unit=COUNT,
        x="File size",
        y="Characters",
        color="Duration",
        columns={
            "File size": Column(unit=BYTES),
            "Duration": Column(unit=SECONDS, limits={0: "green", 2: "yellow", 5: "orange", 10: "red"}),
            **JOB_IDS,
        },
    )


def _by_type() -> Panel:
    return rows(
        About(
            title="By type of file",
            question="Which types of files are slow, or cannot be read?",
            empty=NO_FILES,
        ),
        sql(f"""
WITH {documents("type", "size_bytes", "characters", "extraction_seconds", "analysis_seconds", "outcome")}
SELECT coalesce(type, 'unknown') AS "Type", count(*) AS "Documents", avg(size_bytes) AS "Size", avg(characters) AS "Characters",
  avg(extraction_seconds) AS "Extraction", avg(analysis_seconds) AS "Analysed in",
  CAST(count(*) FILTER (WHERE outcome = 'failed') AS numeric) / nullif(count(*), 0) AS "Failed"
FROM file GROUP BY 1 ORDER BY 2 DESC LIMIT 20"""),
        columns={
            "Size": Column(unit=BYTES),
            "Extraction": Column(unit=SECONDS, decimals=2),
            "Analysed in": Column(unit=SECONDS, decimals=2),
            "Failed": Column(unit=SHARE, decimals=1, limits={0: "text", 0.02: "orange", 0.1: "red"}),
        },
    )


def _failures() -> Panel:
    return course(
        About(
            title="Documents without a score",
            question="How many documents fail, and through which error?",
            empty="Every document of this period was scored, or none was recorded.",
        ),
        over_time(f"""
WITH {documents("outcome", "error_type", condition="outcome <> 'scored'")}, place AS MATERIALIZED (
  SELECT coalesce(error_type, outcome) AS name, row_number() OVER (ORDER BY count(*) DESC, coalesce(error_type, outcome)) AS number
  FROM file GROUP BY 1)
SELECT {bucket("file.started_at")} AS "time", CASE WHEN place.number < 8 THEN place.name ELSE 'other' END AS metric, count(*) AS value
FROM file JOIN place ON place.name = coalesce(file.error_type, file.outcome)
GROUP BY 1, 2 ORDER BY 1, 2"""),
        unit=COUNT,
        bars=True,
        stacked=True,
        columns=ERROR_TYPES,
    )


def _distribution() -> Panel:
    return bars(
        About(title="Résumés by length", question="How long are résumés, in characters?", empty=NO_FILES),
        sql(f"""
WITH {documents("characters")}, {LENGTHS.counted("characters", "file")}
SELECT bin AS "Characters", number AS "Number" FROM counted ORDER BY bin"""),
        unit=COUNT,
        across="Characters",
    )


def _jd_distribution() -> Panel:
    return bars(
        About(title="Job descriptions by length", question="How long are job descriptions, in characters?"),
        sql(f"""
WITH {jobs("jd_characters")}, {LENGTHS.counted("jd_characters", "job")}
SELECT bin AS "Characters", number AS "Number" FROM counted ORDER BY bin"""),
        unit=COUNT,
        across="Characters",
    )


def _problems() -> Panel:
    return rows(
        About(
            title="Problem documents",
            question="Which documents failed, hold almost no text or took longest? They have no names here: open the analysis.",
            empty="No document of this period failed, is short or slow, or none was recorded.",
        ),
        sql(f"""
WITH {documents("ordinal", "type", "size_bytes", "characters", "processing_seconds", "outcome", "error_type", "trace_id")}
SELECT analysis_ref AS "Analysis", started_at AS "Began", type AS "Type", size_bytes AS "Size", characters AS "Characters",
  processing_seconds AS "Duration", outcome AS "Outcome", error_type AS "Error", trace_id AS "Trace"
FROM file WHERE outcome = 'failed' OR characters < 250 OR processing_seconds > 10
ORDER BY started_at DESC, processing_seconds DESC NULLS LAST LIMIT 100"""),
        columns={
            **JOB_IDS,
            "Began": IDS["Began"],
            "Size": Column(unit=BYTES),
            "Duration": Column(unit=SECONDS, decimals=1),
        },
    )
