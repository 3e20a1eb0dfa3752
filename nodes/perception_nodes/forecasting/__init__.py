"""The forecasting node: tracked objects and a map in, futures of every road user out."""
