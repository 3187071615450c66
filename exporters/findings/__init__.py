"""What somebody should know: insights about the last weeks, and who is told."""
