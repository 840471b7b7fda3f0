"""Learning rates by iteration."""

import math

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larq_bcd")
class WarmUpThenDecay(tf.keras.optimizers.schedules.LearningRateSchedule):
    r"""A linear warm-up from `start` to `peak`, then a decay to `end`.

    BCDNet's first training step is 1e-3 to 4e-3 over 15,000 iterations and a cosine to 0, its
    second a cosine from 5e-4 to 0.

    Args:
        peak: rate after the warm-up.
        iterations: iterations of warm-up and decay together.
        start: rate of the first iteration of a warm-up.
        warm_up: iterations of the warm-up.
        end: rate after the last iteration.
        decay: `"cosine"`, `"linear"` or `"constant"`.
    """

    def __init__(self, peak, iterations, start=0.0, warm_up=0, end=0.0, decay="cosine"):
        self._config = {
            "peak": peak,
            "iterations": iterations,
            "start": start,
            "warm_up": warm_up,
            "end": end,
            "decay": decay,
        }
        courses = {
            "cosine": lambda progress: (1 + tf.cos(math.pi * progress)) / 2,
            "linear": lambda progress: 1 - progress,
            "constant": tf.ones_like,
        }
        if decay not in courses:
            raise ValueError(f"decay={decay!r} is not supported: pass one of {list(courses)}.")
        self._course = courses[decay]

    def __call__(self, step):
        """Returns the rate of an iteration, counted from 0, as a float32 scalar."""
        config = self._config
        step = tf.cast(step, tf.float32)
        warm_up = float(config["warm_up"])
        progress = (step - warm_up) / max(config["iterations"] - warm_up, 1.0)
        share = self._course(tf.clip_by_value(progress, 0.0, 1.0))
        decayed = config["end"] + (config["peak"] - config["end"]) * share
        if not warm_up:
            return decayed
        rising = config["start"] + (config["peak"] - config["start"]) * step / warm_up
        return tf.where(step < warm_up, rising, decayed)

    def get_config(self):
        return dict(self._config)
