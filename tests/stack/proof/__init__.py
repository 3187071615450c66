"""The proof that docker-compose.yml works, on a real engine: `make verify-stack` and `make verify-live`."""
