"""The report on models that recognise actions."""
