"""Encoders for camera, LiDAR, video and vector maps that share one frozen language-model block.

sense → encoder → one frozen language block → head → answer. Tensors in, tensors out: nothing here opens a socket or
reads a clock, and only `perception.files` and `perception.frozen.weights` open files.
"""
