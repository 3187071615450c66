"""Our tables and views, the columns that we add to the application's, and the migrations that do it.

A column of ``analyses`` is added in :mod:`.host`, and by a migration.
"""
