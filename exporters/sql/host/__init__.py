"""The application's tables as they are: which columns they have, and what telemetry needs of them."""
