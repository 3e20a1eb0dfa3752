from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from perception.analysis.filtering import frequency, magnitude, scaled, threshold_ious
from perception.errors import InputError
from perception_tools.analysis.filtering.measure import (
    NO_TARGET,
    UNKNOWN_TARGET,
    activations_of,
    best_place,
    claims_json,
    filtering_json,
    measure,
    paired,
    threshold_of_best,
)
from perception_tools.analysis.filtering.views import TokenView, TokenViews

MakeView = Callable[..., TokenView]
NAMES = ("x/llama", "x/plain")


def views(make_view: MakeView, count: int = 5, **changes: object) -> TokenViews:
    def pair(seed: int) -> tuple[TokenView, ...]:
        name = f"r{seed}"
        return make_view(name, seed=seed, **changes), make_view(name, seed=seed, plain=True, **changes)

    return TokenViews("records", iter([pair(seed) for seed in range(count)]))


def test_activations_are_magnitude_and_frequency_of_each_stage_and_attention_of_its_own(make_view: MakeView) -> None:
    view = make_view()
    found = activations_of(view)
    assert len(found) == 7
    for stage, features in view.stages.items():
        np.testing.assert_array_equal(found[stage, "magnitude"], scaled(magnitude(features)))
        np.testing.assert_array_equal(found[stage, "frequency"], scaled(frequency(features)))
    assert view.attention is not None
    np.testing.assert_array_equal(found["attention", "attention"], scaled(view.attention))


def test_each_sort_of_tokens_is_compared_with_its_own(make_view: MakeView) -> None:
    features, sorts = np.random.default_rng(3).normal(size=(6, 4)), np.array([0, 0, 0, 1, 1, 1])
    far = features + 100 * sorts[:, None]
    for kind in ("magnitude", "frequency"):
        (mixed,) = (activations_of(make_view(stages={"encoder": far}, sorts=sorts))[("encoder", kind)],)
        for sort in (0, 1):
            alone = activations_of(make_view(stages={"encoder": far[sorts == sort]}, attention=None))["encoder", kind]
            np.testing.assert_allclose(mixed[sorts == sort], alone)


def test_every_number_is_a_mean_over_the_same_records(make_view: MakeView) -> None:
    found = measure(views(make_view), NAMES, drawn=2)
    assert found.ids == ["r0", "r1", "r2", "r3", "r4"]
    assert [example.views[0].id for example in found.examples] == ["r0", "r1"]
    first, second = (filtering_json(found, model) for model in range(2))
    assert first["miou"]["project_out"]["magnitude"] == pytest.approx(1.0)
    assert list(second["miou"]) == ["encoder"]
    assert list(second["miou"]["encoder"]) == ["magnitude", "frequency", "attention"]
    expected = np.mean(
        [
            threshold_ious(activations_of(view)["encoder", "magnitude"], view.target).max()
            for view in (make_view(seed=seed) for seed in range(5))
            if view.target is not None
        ]
    )
    assert first["miou"]["encoder"]["magnitude"] == pytest.approx(expected)
    low, high = first["interval"]["encoder"]["magnitude"]
    assert low <= expected <= high
    assert first["fixed_threshold"]["encoder"]["magnitude"]["miou"] <= expected + 1e-12
    assert first["baselines"]["everything"]["miou"] == pytest.approx(2 / 6)
    assert first["baselines"]["the first"]["miou"] == pytest.approx(1.0)
    assert 0 < first["baselines"]["random"]["miou"] < 1


def test_a_record_without_a_token_of_the_target_is_counted_and_left_out_for_all(make_view: MakeView) -> None:
    empty = np.zeros(6, bool)
    records = [(make_view("a"), make_view("a", plain=True)), (make_view("b"), make_view("b", plain=True))]
    records.insert(1, (make_view("empty"), make_view("empty", plain=True, counted=empty)))
    split = TokenViews("records", iter(records))
    found = measure(split, NAMES, drawn=5)
    assert found.ids == ["a", "b"]
    assert split.left_out == Counter({NO_TARGET: 1})
    assert [len(rows) for of in found.ious for rows in of.values()] == [2] * 10
    assert [example.views[0].id for example in found.examples] == ["a", "b"]


def test_records_of_unknown_target_are_drawn_and_not_measured(make_view: MakeView) -> None:
    split = views(make_view, target=None)
    found = measure(split, NAMES, drawn=3)
    assert (found.records, found.ids, len(found.examples)) == (5, [], 3)
    assert not split.left_out
    assert filtering_json(found, 0)["miou"] == {}
    assert claims_json(found) == []


def test_records_of_unknown_target_among_others_are_counted(make_view: MakeView) -> None:
    split = TokenViews("records", [(make_view("a"),), (make_view("b", target=None),)])
    assert measure(split, NAMES[:1], 0).ids == ["a"]
    assert split.left_out == Counter({UNKNOWN_TARGET: 1})


def test_a_model_that_has_diverged_is_not_silently_measured(make_view: MakeView) -> None:
    broken = make_view(stages={"encoder": np.full((6, 2), np.nan)})
    with pytest.raises(InputError, match="a: expected finite features at encoder"):
        activations_of(broken)


def test_chance_is_the_same_in_every_analysis(make_view: MakeView) -> None:
    first, second = (filtering_json(measure(views(make_view), NAMES, 0), 0) for _ in range(2))
    assert first == second


def test_the_best_place_leaves_attention_out(make_view: MakeView) -> None:
    found = measure(views(make_view), NAMES, 0)
    assert best_place(found, 0) in (("project_out", "magnitude"), ("project_out", "frequency"))
    place = best_place(found, 1)
    assert place is not None
    assert place[1] != "attention"
    assert best_place(found, 1, "project_out") is None


def test_claims_are_differences_over_the_same_records(make_view: MakeView) -> None:
    found = measure(views(make_view), NAMES, 0)
    claims = {claim["claim"]: claim for claim in claims_json(found)}
    (beside,) = (claim for name, claim in claims.items() if name.startswith("x/llama (project_out"))
    mine, its = best_place(found, 0), best_place(found, 1)
    assert mine is not None
    assert its is not None
    expected = (found.best_ious(0, mine) - found.best_ious(1, its)).mean()
    assert beside["difference"] == pytest.approx(expected)
    assert any("beat its attention" in name for name in claims)
    assert any("beat the first" in name for name in claims)


def test_a_paired_difference_has_an_interval_of_its_own() -> None:
    ours = np.random.default_rng(0).random(50)
    found = paired(ours + 0.1, ours)
    assert found["difference"] == pytest.approx(0.1)
    assert found["interval"] == pytest.approx([0.1, 0.1])


def test_the_first_of_equally_good_thresholds_is_named() -> None:
    assert threshold_of_best(np.array([0.1, 0.5, 0.5, 0, 0, 0, 0, 0, 0])) == (0.5, 0.2)
