"""The application's tables: what telemetry needs of them, what exists, and how their rows are changed."""
