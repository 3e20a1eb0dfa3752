"""Recording messages to MCAP, and saving what a cut-off recording holds."""
