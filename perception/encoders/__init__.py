"""Encoders from measurements to tokens, one file per architecture; encoders do not depend on the block."""
