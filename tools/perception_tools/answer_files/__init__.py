"""Answer files of other projects: from their bytes to ranked answers by question id."""
