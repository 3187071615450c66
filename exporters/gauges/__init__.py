"""The gauges that one process exports for all: figures from SQL, and values of the host."""
