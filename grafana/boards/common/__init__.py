"""What several dashboards share, and panels of one subject: budget, tokens, the programs around; colours."""
