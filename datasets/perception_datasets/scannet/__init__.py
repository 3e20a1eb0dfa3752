"""ScanNet (https://www.scan-net.org): rooms scanned with a depth camera, with a label for each vertex."""
