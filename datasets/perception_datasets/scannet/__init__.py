"""ScanNet (https://www.scan-net.org): rooms scanned with a depth camera, every vertex labelled."""
