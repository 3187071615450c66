"""The API for application code: runs, stages, documents, errors and warnings.

Usage::

    import telemetry

    with telemetry.run("analysis", user_id=7, candidates=len(files)) as run:
        with telemetry.stage("ranking"):
            for file in files:
                with telemetry.document(file.name, size=len(file.data), type="pdf") as doc:
                    doc.score(rank(file), out_of=100)
        run.link(analysis_id=save())

It needs only ``opentelemetry-api``. Every call is a no-op without the SDK and before set-up, and all but runs
are no-ops outside a run. No call raises an error of its own. Exceptions of the application pass through
unchanged; only their type is recorded, never their text.
"""
