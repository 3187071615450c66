"""What one answer of the service says about what is billed, and which requests may be billed at all."""
