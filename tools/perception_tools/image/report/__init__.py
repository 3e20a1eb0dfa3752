"""The report on classifiers of pictures."""
