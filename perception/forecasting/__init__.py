"""Trajectory forecasting: scenarios, agents' motion, vectors and views of them, the loss."""
