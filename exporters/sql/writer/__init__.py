"""The writer: the threads of a process that deliver its spool to the database and to the host's rows."""
