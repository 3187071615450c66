"""Our tables and views, the columns that we add to the application's tables, and the migrations.

To add a column to ``analyses``, declare it in :mod:`.host` and write a migration.
"""
