"""Readers of labelled point clouds."""
