from __future__ import annotations

from perception_tools.forecasting.published import PUBLISHED


def test_every_row_states_its_source_and_plausible_numbers():
    for row in PUBLISHED:
        assert row.source
        assert row.data
        assert 0 < row.miss_rate < 1
        assert row.min_ade_endpoint < row.min_fde
        assert row.min_ade is None or row.min_ade <= row.min_ade_endpoint
        assert row.brier_min_fde is None or row.min_fde <= row.brier_min_fde <= row.min_fde + 1


def test_no_result_is_listed_twice():
    keys = [(row.method, row.data, row.source, row.k) for row in PUBLISHED]
    assert len(set(keys)) == len(keys)
