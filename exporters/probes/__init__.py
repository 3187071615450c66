"""What the doctor asks: the database, the Collector, and a run of its own."""
