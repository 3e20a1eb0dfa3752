"""Models that `perception export` wrote, run by ONNX Runtime or OpenVINO."""
