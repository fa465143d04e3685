"""What control and worker say to each other comes out as it went in, in whatever pieces it travels."""

from __future__ import annotations

import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.worker import protocol
from bridge.worker.protocol import Command, Event, Frames, Stop, pack, unpack_command, unpack_event

COMMANDS = typing.get_args(Command)
EVENTS = typing.get_args(Event)
text = st.text(max_size=20)
BASICS = {
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    str: text,
    bool: st.booleans(),
    bytes: st.binary(max_size=60),
    type(None): st.none(),
}


def values(kind: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Any value of an annotated type."""
    if kind in BASICS:
        return BASICS[kind]
    parts = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return st.lists(values(parts[0]), max_size=3).map(tuple)
    if parts:
        return st.one_of([values(part) for part in parts])
    return messages(kind)


def messages(kind: type) -> st.SearchStrategy[typing.Any]:
    hints = typing.get_type_hints(kind)
    return st.fixed_dictionaries({name: values(hint) for name, hint in hints.items()}).map(
        lambda fields: kind(**fields)
    )


@settings(max_examples=300)
@given(st.one_of([messages(kind) for kind in COMMANDS]))
def test_a_command_comes_out_as_it_went_in(command: Command) -> None:
    (body,) = Frames().feed(pack(command))
    assert unpack_command(body) == command


@settings(max_examples=300)
@given(st.one_of([messages(kind) for kind in EVENTS]))
def test_an_event_comes_out_as_it_went_in(event: Event) -> None:
    (body,) = Frames().feed(pack(event))
    assert unpack_event(body) == event


@given(st.lists(messages(protocol.Say), max_size=5), st.data())
def test_frames_may_be_cut_anywhere(commands: list[Command], data: st.DataObject) -> None:
    stream, frames, found = b"".join(map(pack, commands)), Frames(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += frames.feed(stream[:size])
        stream = stream[size:]
    assert [unpack_command(body) for body in found] == commands


@given(st.binary(max_size=60))
def test_what_is_no_message_raises_one_kind_of_error(body: bytes) -> None:
    for unpack in (unpack_command, unpack_event):
        try:
            unpack(body)
        except msgspec.MsgspecError:
            continue


def test_an_event_is_no_command() -> None:
    with pytest.raises(msgspec.ValidationError):
        unpack_command(pack(protocol.Said(1))[4:])
    with pytest.raises(msgspec.ValidationError):
        unpack_event(pack(Stop())[4:])
