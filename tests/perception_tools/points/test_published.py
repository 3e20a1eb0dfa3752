from __future__ import annotations

from perception_tools.points.published import PUBLISHED, SETS


def test_rows_are_those_of_table_2() -> None:
    plain, llama, mlp, random = (row.top1 for row in PUBLISHED)
    assert plain == {"bg": 87.43, "only": 88.12, "t50": 83.07, "1k": 92.67, "4k": 92.91, "8k": 93.19}
    assert [round(llama[name] - plain[name], 2) for name in SETS] == [0.57, 0.38, 0.73, -0.25, -0.09, 0.37]
    assert mlp.keys() == random.keys() == {"bg", "only", "t50"}  # table B has no ModelNet40
