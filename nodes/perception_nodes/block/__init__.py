"""The shared block: its service in one process, and the same on zenoh and gRPC."""
