"""Evaluations as one self-contained HTML file that a person would rather look at than read."""

from perception_tools.report.evaluation import BlockProvenance, Evaluation, Example, choose_examples
from perception_tools.report.writer import write_report

__all__ = ["BlockProvenance", "Evaluation", "Example", "choose_examples", "write_report"]
