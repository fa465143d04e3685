"""On which flows we hold dialogs: whoever is in a call is no scanner, whoever else sends from his address."""

from __future__ import annotations

from collections import Counter

from .dialog import DialogId
from .flow import Connection


class Acquaintances:
    """As many entries as dialogs."""

    def __init__(self) -> None:
        self._flow_of: dict[DialogId, Connection] = {}
        self._dialogs: Counter[Connection] = Counter()

    def __contains__(self, flow: Connection) -> bool:
        return flow in self._dialogs

    def __len__(self) -> int:
        """Flows."""
        return len(self._dialogs)

    def met(self, dialog: DialogId, flow: Connection) -> None:
        """The dialog's peer is on ``flow`` now."""
        if self._flow_of.get(dialog) != flow:
            self.parted(dialog)
            self._flow_of[dialog] = flow
            self._dialogs[flow] += 1

    def parted(self, dialog: DialogId) -> None:
        """The dialog is over."""
        flow = self._flow_of.pop(dialog, None)
        if flow is not None:
            self._dialogs[flow] -= 1
            if not self._dialogs[flow]:
                del self._dialogs[flow]
