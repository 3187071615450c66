"""Move old runs and days of the log from the tables to files."""
