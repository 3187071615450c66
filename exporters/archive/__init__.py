"""Old runs, moved from the tables into files and back."""
