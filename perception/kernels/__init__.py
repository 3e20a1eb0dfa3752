"""Products by the fastest kernel of the device, in full and in narrow precisions."""
