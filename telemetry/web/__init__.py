"""The Flask extension, and what it serves: exports, warnings and health."""
