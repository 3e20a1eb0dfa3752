"""Trained models as checked ONNX files, for runtimes without a training framework."""
