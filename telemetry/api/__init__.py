"""What application code calls: runs, stages, documents, and a few words on what went wrong.

Usage::

    import telemetry

    with telemetry.run("analysis", user_id=7, candidates=len(files)) as run:
        with telemetry.stage("ranking"):
            for file in files:
                with telemetry.document(file.name, size=len(file.data), type="pdf") as doc:
                    doc.score(rank(file), out_of=100)
        run.link(analysis_id=save())

Everything needs only ``opentelemetry-api``. Without the SDK, before set-up and (for all but runs) outside a
run, every call here is a no-op, and no call ever raises an error of its own. Exceptions of the application
pass through untouched; only their type is kept, never their text.
"""
