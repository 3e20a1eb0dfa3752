"""The report on answers to questions about scenes."""

from perception_tools.report.scene_qa.evaluation import SystemEvaluation
from perception_tools.report.scene_qa.writer import write_scene_qa_report

__all__ = ["SystemEvaluation", "write_scene_qa_report"]
