"""Encoder, frozen block and head composed into what people train."""
