"""The Flask extension and its views: exports, warnings and health."""
