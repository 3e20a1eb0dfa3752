from __future__ import annotations

from perception_tools.forecasting.report.charts import interval_chart, learning_curves


def test_a_panel_is_drawn_for_each_quantity_and_a_line_for_each_curve(make_evaluation):
    svg = learning_curves([make_evaluation("a"), make_evaluation("b")])
    assert ">loss<" in svg
    assert ">min fde<" in svg
    assert "var(--line0)" in svg
    assert "var(--line1)" in svg
    assert "var(--line2)" not in svg


def test_models_without_curves_leave_their_neighbours_colour_alone(make_evaluation):
    svg = learning_curves([make_evaluation("constant velocity", curves={}), make_evaluation("b")])
    assert "var(--line0)" not in svg
    assert "var(--line1)" in svg


def test_the_interval_chart_names_every_model_and_metric(make_evaluation):
    svg = interval_chart([make_evaluation("first"), make_evaluation("second")], {"min_fde": "minFDE in metres"})
    assert all(f">{text}<" in svg for text in ("first", "second", "minFDE in metres"))
