"""Driving a recorded log through a node."""
