"""Running nodes: deployment files, lifecycle, health, metrics, diagnostics, logs."""
