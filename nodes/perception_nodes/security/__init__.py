"""Certificates: who a process is, and where a process may listen without them."""
