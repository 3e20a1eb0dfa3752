"""Streams to answers: what runs inside a robot. Imports neither data sets nor tools."""
