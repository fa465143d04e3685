"""Who asks for an operator, and who has been seen to."""

from __future__ import annotations

from .event import HelpAnswered, HelpWanted
from .participant import Participant
from .people import People
from .phrase import Phrase


class Assistance:
    """A wish for help stands (:attr:`.participant.Participant.help_wanted`) until a host or operator answers it, or who
    has it leaves."""

    def __init__(self, people: People) -> None:
        self._people = people

    def ask(self, number: int) -> None:
        """Asking again changes nothing, but is confirmed again."""
        if not self._people.get(number).help_wanted:
            self._want(number)
            for person in self._people:
                if person.role == "host" and person.state == "in" and person.number != number:
                    self._people.say(Phrase.HELP_WANTED, person.number)
        self._people.say(Phrase.HELP_COMES, number)

    def carry_over(self, number: int) -> None:
        """It asked in the room that it was moved from."""
        self._want(number)

    def _want(self, number: int) -> None:
        self._people.change(number, help_wanted=True)
        self._people.tell(HelpWanted(self._people.room, number))

    def answer(self, number: int | None, *, by: int | None) -> int:
        """None: all but the one who answers, who does not help himself by it. How many wanted help."""
        self._people.require_host(by)
        asked = (
            [self._people.get(number)] if number is not None else [each for each in self._people if each.number != by]
        )
        return sum(self._answer(person, by) for person in asked)

    def _answer(self, person: Participant, by: int | None) -> bool:
        if not person.help_wanted:
            return False
        self._people.change(person.number, help_wanted=False)
        self._people.tell(HelpAnswered(self._people.room, person.number, by))
        self._people.say(Phrase.HELP_ANSWERED, person.number)
        return True
