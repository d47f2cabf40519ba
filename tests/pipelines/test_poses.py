"""Poses as control pictures. The real detector's weights are not here: what it finds is given."""

import numpy as np

from pipelines.detectors import open_package
from pipelines.poses import drawn


def found():
    """A person without a body, of whose left hand the thumb and the wrist were found, and a place in the face."""
    open_package()
    from controlnet_aux.open_pose import PoseResult
    from controlnet_aux.open_pose.body import BodyResult, Keypoint

    thumb = [Keypoint(0.2 + 0.1 * joint, 0.5) for joint in range(5)]
    hand = [*thumb, *(Keypoint(-0.01, -0.01) for _ in range(16))]
    return PoseResult(BodyResult([None] * 18, 0, 0), hand, None, [Keypoint(0.8, 0.9)])


def test_hands_and_faces_are_drawn_where_they_were_found():
    picture = drawn([found()], 100, 200)
    assert picture.shape == (100, 200, 3)
    assert [tuple(picture[50, column]) for column in (40, 50, 120)] == [(0, 0, 255), (255, 0, 0), (0, 0, 255)]
    assert tuple(picture[90, 160]) == (255, 255, 255)
    rows, columns = np.nonzero(picture[:60].any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (46, 54, 36, 124)


def test_nobody_is_drawn_black():
    open_package()
    assert not drawn([], 64, 64).any()
