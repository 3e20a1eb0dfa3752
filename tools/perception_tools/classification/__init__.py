"""What tasks that classify records share: predictions, scores, comparisons, learning and tables of a report."""
