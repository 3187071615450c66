"""What the doctor asks: the database, the Collector, Prometheus, and a run of its own."""
