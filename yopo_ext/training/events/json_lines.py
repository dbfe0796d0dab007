# SPDX-License-Identifier: MIT
"""The run's log as a file: one JSON object an epoch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..files.atomic import write_text_atomically
from ..files.names import LOG
from .event import Event, NamedEvent, NoEventOptions

if TYPE_CHECKING:
    from ..compose import Parts
    from ..loop.trainer import Trainer


class JsonLines(Event):
    """Writes the whole log after each checkpoint: a crash may come between the two, and then the next one mends it."""

    name = "json_lines"

    def on_start(self, trainer: Trainer) -> None:
        if trainer.log:
            self.on_saved(trainer)

    def on_saved(self, trainer: Trainer) -> None:
        text = "".join(json.dumps(line) + "\n" for line in trainer.log)
        write_text_atomically(trainer.folder / LOG, text)


def _build(options: NoEventOptions, parts: Parts) -> JsonLines | None:
    return JsonLines() if parts.processes.is_first else None


EVENT = NamedEvent("json_lines", "the log as JSON lines", _build, NoEventOptions, order=95)
