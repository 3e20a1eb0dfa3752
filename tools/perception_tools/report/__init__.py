"""Self-contained HTML pages with tables and charts, in light and dark. Knows no task."""
