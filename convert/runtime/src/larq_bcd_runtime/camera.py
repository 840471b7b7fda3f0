"""Frames of a camera: the Raspberry Pi's, or any that OpenCV knows."""

from collections.abc import Iterator

import numpy as np

from larq_bcd_runtime.interpreter import ModelError


def frames() -> Iterator[np.ndarray]:
    """Yields RGB frames, uint8 of shape (height, width, 3), until it is closed.

    Raises:
        ModelError: there is neither picamera2 nor OpenCV, or no camera.
    """
    try:
        from picamera2 import Picamera2
    except ImportError:
        yield from _frames_of_opencv()
        return
    camera = Picamera2()
    # What picamera2 calls BGR888 lies in memory as red, green, blue.
    camera.configure(
        camera.create_video_configuration({"size": (640, 480), "format": "BGR888"})
    )
    camera.start()
    try:
        while True:
            yield camera.capture_array()
    finally:
        camera.close()


def _frames_of_opencv() -> Iterator[np.ndarray]:
    try:
        import cv2
    except ImportError:
        raise ModelError(
            "a camera needs picamera2 (on a Raspberry Pi: `sudo apt install "
            "python3-picamera2`) or OpenCV (`pip install larq-bcd-runtime[camera]`)."
        ) from None
    camera = cv2.VideoCapture(0)
    try:
        while True:
            found, frame = camera.read()
            if not found:
                raise ModelError("the camera gives no picture: is it connected?")
            yield frame[:, :, ::-1]
    finally:
        camera.release()
