"""Generator of synthetic forecasting scenarios in Argoverse 2's format: lane graph, traffic, recording, files."""
