from perception.scene_input import BOX_CLASSES


def test_the_last_of_the_18_classes_takes_what_the_others_leave() -> None:
    assert len(BOX_CLASSES) == 18
    assert BOX_CLASSES[17] == "others"
