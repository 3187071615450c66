"""What is done now and then: the daily check, prices anew, erasure, and history from before telemetry."""
