"""A maker of forecasting scenarios in Argoverse 2's own format: lane graph, traffic, a recording, files."""
