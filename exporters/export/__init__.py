"""Jobs as files: CSV, JSON, JSON lines and Parquet."""
