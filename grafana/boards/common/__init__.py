"""What several dashboards share, and groups of panels: budget, tokens, the programs around, columns, colours, sentences."""
