"""A conference: who is in it, who may do what, and what follows. One object is one conference, from the first who comes
to the end; it owns no clock, no call and no stream.

Commands say who asks: ``by`` is a participant's number, None an operator. Guests may act on themselves only, hosts and
operators on everybody. A command that changes nothing emits nothing. All raise :class:`.error.RoomError`:
:class:`.error.Forbidden`, :class:`.error.NoSuchParticipant`, :class:`.error.Refused`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .event import Event, LeaveReason
from .key import Action
from .participant import Kind, Language, Participant, Role, State
from .settings import RoomSettings
from .snapshot import RoomSnapshot


class Room:
    """One conference."""

    def __init__(self, settings: RoomSettings, now: float) -> None:
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- the sans-IO core

    def events(self) -> Iterator[Event]:
        """Drain what happened, in order."""
        raise NotImplementedError

    def deadline(self) -> float | None:
        """When :meth:`expire` is due."""
        raise NotImplementedError

    def expire(self, now: float) -> None:
        """Warn of the end, end the conference, give half a key sequence up."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------- looking

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def settings(self) -> RoomSettings:
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """It takes nobody any more. It ends by command, by time, or when the last participant has left."""
        raise NotImplementedError

    @property
    def locked(self) -> bool:
        raise NotImplementedError

    @property
    def everybody_muted(self) -> bool:
        raise NotImplementedError

    @property
    def speaker(self) -> int | None:
        raise NotImplementedError

    @property
    def hands(self) -> tuple[int, ...]:
        """The speaking queue, the next to speak first."""
        raise NotImplementedError

    def __len__(self) -> int:
        """How many are in the room or its lobby."""
        raise NotImplementedError

    def __contains__(self, number: object) -> bool:
        raise NotImplementedError

    def participant(self, number: int) -> Participant:
        """Raises :class:`.error.NoSuchParticipant`."""
        raise NotImplementedError

    def participants(self) -> tuple[Participant, ...]:
        """In the order they came; the lobby's too."""
        raise NotImplementedError

    def snapshot(self) -> RoomSnapshot:
        raise NotImplementedError

    # --------------------------------------------------------------------------------- coming and going

    def join(
        self,
        number: int,
        now: float,
        *,
        kind: Kind,
        name: str,
        uri: str = "",
        role: Role = "guest",
        language: Language | None = None,
        voice_prompts: bool = True,
        recorded_name: str = "",
        invited: bool = False,
        moved_from: Participant | None = None,
    ) -> State:
        """Somebody comes: into the room, or its lobby.

        Args:
            language: None: the room's.
            invited: a host or operator called or moved it here: neither lock nor lobby holds it.
            moved_from: what :meth:`take_out` of another room returned: its mutes of its own, gains, deafness and
                recorded name go with it, and it is told that it was moved.

        Raises:
            Refused: ``locked``, ``full``, ``ended``, ``present`` (that number is here); ``phrase`` is what to say.
        """
        raise NotImplementedError

    def leave(self, number: int, now: float, *, reason: LeaveReason = "hung-up") -> None:
        """Its call is over. Not being here is no error: calls end while rooms do."""
        raise NotImplementedError

    def admit(self, number: int, *, by: int | None, now: float) -> None:
        """Let somebody in from the lobby."""
        raise NotImplementedError

    def admit_all(self, *, by: int | None, now: float) -> int:
        """Let everybody in who waits; how many that were."""
        raise NotImplementedError

    def turn_away(self, number: int, *, by: int | None, now: float) -> None:
        """Send somebody in the lobby away: the call ends."""
        raise NotImplementedError

    def remove(self, number: int, *, by: int | None, now: float) -> None:
        """Throw somebody out: the call ends."""
        raise NotImplementedError

    def take_out(self, number: int, *, by: int | None, now: float) -> Participant:
        """Take somebody out without ending the call: the focus joins it to another room
        (``join(..., invited=True, moved_from=...)``)."""
        raise NotImplementedError

    def end(self, *, by: int | None, now: float) -> None:
        """End the conference for all."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------------------- one person

    def set_role(self, number: int, role: Role, *, by: int | None, now: float) -> None:
        """Make somebody host or guest; a new host leaves the lobby."""
        raise NotImplementedError

    def mute(self, number: int, *, by: int | None, now: float) -> None:
        """Set its own flag when it asks itself, the host's flag when somebody else does."""
        raise NotImplementedError

    def unmute(self, number: int, *, by: int | None, now: float) -> None:
        """Clear the flag that :meth:`mute` by the same would set; a host who unmutes himself clears both."""
        raise NotImplementedError

    def deafen(self, number: int, deaf: bool, *, by: int | None, now: float) -> None:
        """Let it hear prompts only, or everything again."""
        raise NotImplementedError

    def set_volume(self, number: int, db: int, *, by: int | None, now: float) -> None:
        """Gain on what it hears, -12 to 12 dB."""
        raise NotImplementedError

    def set_voice(self, number: int, db: int, *, by: int | None, now: float) -> None:
        """Gain on its voice, -12 to 12 dB."""
        raise NotImplementedError

    def step_volume(self, number: int, steps: int, *, by: int | None, now: float) -> None:
        """Steps of 3 dB, up or down as far as they go, and spoken."""
        raise NotImplementedError

    def step_voice(self, number: int, steps: int, *, by: int | None, now: float) -> None:
        """Steps of 3 dB, up or down as far as they go, and spoken."""
        raise NotImplementedError

    def rename(self, number: int, name: str, *, by: int | None, now: float) -> None:
        raise NotImplementedError

    def set_recorded_name(self, number: int, clip: str, *, by: int | None, now: float) -> None:
        """The clip of its name (``capture:N`` or a file); empty: none."""
        raise NotImplementedError

    def help(self, number: int, *, now: float) -> None:
        """It asks for an operator."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- the speaking queue

    def raise_hand(self, number: int, *, by: int | None, now: float) -> int:
        """Its place in the queue, from 1, which it also hears."""
        raise NotImplementedError

    def lower_hand(self, number: int, *, by: int | None, now: float) -> None:
        raise NotImplementedError

    def give_floor(self, number: int | None = None, *, by: int | None, now: float) -> int:
        """Call somebody up to speak (None: the next in the queue); who it is. Takes the host's mute off it."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- the room

    def mute_all(self, *, by: int | None, now: float) -> None:
        """Host's mute on everybody but the hosts, and on guests who come from now on."""
        raise NotImplementedError

    def unmute_all(self, *, by: int | None, now: float) -> None:
        """Host's mute off everybody."""
        raise NotImplementedError

    def lock(self, *, by: int | None, now: float) -> None:
        """Guests can't come in any more; hosts can."""
        raise NotImplementedError

    def unlock(self, *, by: int | None, now: float) -> None:
        raise NotImplementedError

    def roll_call(self, *, by: int | None, now: float) -> None:
        """The recorded names of who is in, said to who asks; to all when an operator asks."""
        raise NotImplementedError

    def speaking(self, number: int | None, now: float) -> None:
        """The mixer says who speaks now; who is not in the room (any more) counts as nobody."""
        raise NotImplementedError

    def change_settings(self, changes: dict[str, Any], *, by: int | None, now: float) -> None:
        """Change settings at run time, named as in :class:`.settings.RoomSettings`.

        Raises:
            ValueError: one is unknown or wrong; none is changed then.
        """
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- keys

    def press(self, number: int, digit: str, now: float) -> None:
        """A key of somebody's telephone, once a press (see :class:`.key.DigitFilter`). Raises nothing: what is
        wrong is said to who pressed."""
        raise NotImplementedError

    def act(self, number: int, action: Action, now: float) -> None:
        """What a key sequence stands for; likewise."""
        raise NotImplementedError
