"""The application's tables: what telemetry needs of them, what they have, and how their rows are changed."""
