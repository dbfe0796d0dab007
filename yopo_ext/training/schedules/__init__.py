# SPDX-License-Identifier: MIT
"""Learning rate as a function of the epochs done: one schedule a file."""

from .schedule import SCHEDULES, LearningRate, Schedule, ScheduleOptions, ramp, warmed_up

__all__ = ["SCHEDULES", "LearningRate", "Schedule", "ScheduleOptions", "ramp", "warmed_up"]
