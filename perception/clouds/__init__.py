"""Point clouds: sampling, neighbours and grouping in plain torch and numpy."""
