"""Whether what is stored agrees with itself, as a command and as a gauge."""
