"""What all dashboards are built of: queries, panels, variables and links."""
