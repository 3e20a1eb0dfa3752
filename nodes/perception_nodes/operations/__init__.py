"""What every node needs to run: deployment files, lifecycle, health, metrics, diagnostics, logs."""
