"""Studies that train or run models many times and compare what comes out."""
