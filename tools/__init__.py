"""Programs that tests and the proof of alerts run, built from pinned Go modules by `make tools`."""
