"""What application code calls: runs and their blocks, and what they are given."""
