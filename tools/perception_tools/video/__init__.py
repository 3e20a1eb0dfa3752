"""Training and evaluating models that recognise actions in clips."""
