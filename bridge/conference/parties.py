"""Who has a call with us, found by number, by leg, by simulated stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.worker.protocol import StreamReport

from .leg import Leg
from .party import Party


class Parties:
    def __init__(self) -> None:
        self._last = 0
        self._by_number: dict[int, Party] = {}
        self._by_leg: dict[Leg, Party] = {}
        self._simulated: dict[int, Party] = {}
        self._by_call_id: dict[str, Party] = {}

    def __iter__(self) -> Iterator[Party]:
        return iter(self._by_number.values())

    def add(self, party: Party) -> Party:
        """Give it a number, never given before."""
        self._last += 1
        party.number = self._last
        self._by_number[party.number] = party
        if party.leg is not None:
            self.connect(party, party.leg)
        elif party.talker is not None:
            self._simulated[party.talker.stream] = party
        return party

    def get(self, number: int) -> Party | None:
        return self._by_number.get(number)

    def of(self, leg: Leg | None) -> Party | None:
        return self._by_leg.get(leg) if leg is not None else None

    def of_call(self, call_id: str) -> Party | None:
        """Whose call by WebSocket that is."""
        return self._by_call_id.get(call_id)

    def simulated(self, stream: int) -> Party | None:
        return self._simulated.get(stream)

    def reported(self, figures: Sequence[StreamReport]) -> None:
        """What a worker says of its streams; those of simulated talkers are kept here."""
        if not self._simulated:
            return
        for report in figures:
            party = self._simulated.get(report.stream)
            if party is not None and party.talker is not None:
                party.talker.report = report

    def connect(self, party: Party, leg: Leg) -> None:
        """Its call is this one now, whatever it was before."""
        if party.leg is not None:
            self.disconnect(party.leg)
        party.leg = leg
        self._by_leg[leg] = party
        if leg.call_id:
            self._by_call_id[leg.call_id] = party

    def disconnect(self, leg: Leg) -> Party | None:
        """The call is over: whose it was, if it was anybody's still."""
        if leg.call_id and self._by_call_id.get(leg.call_id) is self._by_leg.get(leg):
            self._by_call_id.pop(leg.call_id, None)
        return self._by_leg.pop(leg, None)

    def forget(self, party: Party) -> None:
        self._by_number.pop(party.number, None)
        if party.talker is not None:
            self._simulated.pop(party.talker.stream, None)
