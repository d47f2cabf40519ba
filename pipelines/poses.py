"""Poses as OpenPose draws them, by controlnet-aux, but for hands: its function for those needs matplotlib."""

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

_BONES = [(0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)]
"""From the wrist, joint 0, to the tips of the fingers, thumb first."""


def drawn(poses: Sequence[Any], height: int, width: int) -> np.ndarray:
    """`PoseResult`s of controlnet-aux as a control picture (height, width, 3): bodies, and hands and faces if found.

    The package is to be open (`detectors.open_package`).
    """
    from controlnet_aux.open_pose import util

    canvas = np.zeros((height, width, 3), np.uint8)
    for pose in poses:
        util.draw_bodypose(canvas, pose.body.keypoints)
        for hand in (pose.left_hand, pose.right_hand):
            _draw_hand(canvas, [(int(joint.x * width), int(joint.y * height)) for joint in hand or ()])
        util.draw_facepose(canvas, pose.face)
    return canvas


def _draw_hand(canvas: np.ndarray, joints: Sequence[tuple[int, int]]) -> None:
    """Draw the 21 `joints` of a hand; those that were not found are not inside."""
    for number, (start, end) in enumerate(_BONES if joints else ()):
        if min(*joints[start], *joints[end]) > 0:
            colour = [channel * 255 for channel in colorsys.hsv_to_rgb(number / len(_BONES), 1.0, 1.0)]
            cv2.line(canvas, joints[start], joints[end], colour, thickness=2)
    for joint in joints:
        if min(joint) > 0:
            cv2.circle(canvas, joint, 4, (0, 0, 255), thickness=-1)
