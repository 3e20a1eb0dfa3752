"""What training minimises: one file for each kind of answer."""
