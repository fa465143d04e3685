"""Wrong PINs over all calls: guessers wait, the others do not, and the table is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.conference.tries import CALLER, PLACE, SOURCES, Tries

HOME, OFFICE = "192.0.2.1", "198.51.100.1"
ANN, BOB = "sip:ann@example.ca", "sip:bob@example.ca"


def after(wrong: int, *, caller: str = ANN, address: str = HOME) -> Tries:
    tries = Tries()
    for _ in range(wrong):
        tries.failed(address, caller, 0.0)
    return tries


def test_three_calls_full_of_wrong_pins_are_let_pass() -> None:
    assert after(8).wait(HOME, ANN, 0.0) == 0
    assert after(9).wait(HOME, ANN, 0.0) == 600


def test_after_the_wait_there_is_one_more_try_and_after_hours_there_are_nine() -> None:
    tries = after(9)
    assert tries.wait(HOME, ANN, 599.0) > 0
    assert tries.wait(HOME, ANN, 600.0) == 0
    tries.failed(HOME, ANN, 600.0)
    assert tries.wait(HOME, ANN, 600.0) == 600
    for _ in range(8):
        tries.failed(HOME, ANN, 20_000.0)
    assert tries.wait(HOME, ANN, 20_000.0) == 0


def test_nobody_else_waits_for_a_guesser() -> None:
    tries = after(9)
    assert tries.wait(HOME, BOB, 0.0) == 0
    assert tries.wait(OFFICE, ANN, 0.0) == 0, "names can be had for nothing"
    assert tries.wait(HOME, "", 0.0) == 0


def test_who_changes_his_name_is_held_by_his_address() -> None:
    tries = Tries()
    for n in range(60):
        assert tries.wait(HOME, f"sip:{n}@example.ca", 0.0) == 0
        tries.failed(HOME, f"sip:{n}@example.ca", 0.0)
    assert tries.wait(HOME, "sip:another@example.ca", 0.0) == 120
    assert tries.wait(HOME, "", 0.0) == 120
    assert tries.wait(OFFICE, "sip:another@example.ca", 0.0) == 0


def test_an_ipv6_site_is_one_place() -> None:
    tries = Tries()
    for n in range(60):
        tries.failed(f"2001:db8:1:2::{n:x}", "", 0.0)
    assert tries.wait("2001:db8:1:2:ffff::", "", 0.0) > 0
    assert tries.wait("2001:db8:1:3::", "", 0.0) == 0


def test_what_is_wrong_and_what_comes_too_soon_is_counted() -> None:
    tries = after(9)
    assert tries.refuse(HOME, ANN, 0.0) == 600
    assert tries.refuse(HOME, BOB, 0.0) == 0
    assert (tries.wrong, tries.refused) == (9, 1)


def test_strangers_can_not_make_it_grow() -> None:
    tries = Tries()
    for n in range(3 * SOURCES):
        tries.failed(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", ANN, 0.0)
    assert len(tries) == 2 * SOURCES


@given(st.lists(st.tuples(st.floats(0, 600), st.sampled_from([ANN, BOB, ""])), max_size=300))
def test_no_guesser_has_more_tries_than_burst_and_rate_allow(steps: list[tuple[float, str]]) -> None:
    tries, now, let = Tries(), 0.0, {ANN: 0, BOB: 0, "": 0}
    for pause, caller in steps:
        now += pause
        if not tries.refuse(HOME, caller, now):
            tries.failed(HOME, caller, now)
            let[caller] += 1
    for caller in (ANN, BOB):
        assert let[caller] <= CALLER[1] + now / 60 * CALLER[0] + 1e-6
    assert sum(let.values()) <= PLACE[1] + now / 60 * PLACE[0] + 1e-6
