"""Matrix products by the fastest kernel of the device, in float32 and with narrow weights."""
