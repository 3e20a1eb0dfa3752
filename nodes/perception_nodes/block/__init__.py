"""The shared block as a service: in one process, on zenoh, on gRPC, and on Ray."""
