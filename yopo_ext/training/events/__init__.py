# SPDX-License-Identifier: MIT
"""What happens beside the training: one event a file."""

from .event import EVENTS, Event, NamedEvent, in_order
from .phase import Phase

__all__ = ["EVENTS", "Event", "NamedEvent", "Phase", "in_order"]
