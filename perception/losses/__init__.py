"""Training losses, one file per kind of answer."""
