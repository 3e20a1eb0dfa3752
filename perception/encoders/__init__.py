"""One file an architecture: raw measurements to tokens. No encoder knows the block."""
