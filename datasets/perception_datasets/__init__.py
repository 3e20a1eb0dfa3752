"""Files in the field's own formats to `perception` types."""
