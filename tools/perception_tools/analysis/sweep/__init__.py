"""One recipe trained over the values of its fields and several seeds: plan, processes, statistics, page."""
