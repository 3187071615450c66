"""What several dashboards share: panels of the budget and of tokens, columns, colours, sentences."""
