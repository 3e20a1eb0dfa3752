"""Classes of the objects in a LiDAR's clouds."""
