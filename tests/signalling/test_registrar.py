"""The registrar: RFC 3261 §10.3's steps, its bounds, its memory across a restart."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.signalling.event import BindingsChanged
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Request, Uri
from bridge.signalling.registrar import Registrar, RegistrarSettings, StoredBinding, same_uri

UDP = Flow(Transport.UDP, ("192.0.2.1", 5060), ("203.0.113.7", 40000))
TCP = Flow(Transport.TCP, ("192.0.2.1", 5060), ("203.0.113.7", 40001))
AOR = "sip:alice@localhost"


def register(
    *contacts: str,
    cseq: int = 1,
    call_id: str = "c1",
    expires: int | None = None,
    to: str = "sip:alice@example.org",
) -> Request:
    headers = [
        ("Via", "SIP/2.0/UDP 203.0.113.7;branch=z9hG4bK1"),
        ("From", f"<{to}>;tag=1"),
        ("To", f"<{to}>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} REGISTER"),
        *(("Contact", contact) for contact in contacts),
    ]
    if expires is not None:
        headers.append(("Expires", str(expires)))
    return Request.build("REGISTER", "sip:example.org", headers)


def contacts(registrar: Registrar, now: float = 0.0, aor: str = AOR) -> list[str]:
    return [binding.contact for binding in registrar.bindings(aor, now)]


def test_a_terminal_registers_and_is_found_under_every_name_of_ours() -> None:
    registrar = Registrar()
    reply = registrar.register(register("<sip:alice@10.0.0.5:5060>;+sip.x=1"), UDP, "alice", 5.0)
    assert (reply.code, reply.headers) == (200, (("Contact", "<sip:alice@10.0.0.5:5060>;+sip.x=1;expires=3600"),))
    assert reply.changed == BindingsChanged(AOR, ("sip:alice@10.0.0.5:5060",))
    (binding,) = registrar.bindings("sip:alice@10.9.9.9;transport=udp", 5.0)
    assert binding.flow == UDP
    assert contacts(registrar, aor="sip:%61lice@example.org") == ["sip:alice@10.0.0.5:5060"]
    assert contacts(registrar, aor="nonsense") == contacts(registrar, aor="sip:bob@example.org") == []


@pytest.mark.parametrize(
    ("contact", "header", "granted"),
    [
        ("<sip:a@h>", None, 3600),
        ("<sip:a@h>", 300, 300),
        ("<sip:a@h>;expires=120", 300, 120),
        ("<sip:a@h>;expires=99999999", None, 7200),
        ("<sip:a@h>", 60, 60),
    ],
)
def test_the_time_granted(contact: str, header: int | None, granted: int) -> None:
    registrar = Registrar()
    reply = registrar.register(register(contact, expires=header), UDP, "", 0.0)
    assert reply.headers == (("Contact", f"<sip:a@h>;expires={granted}"),)
    assert registrar.deadline() == granted


def test_too_brief_is_423_and_changes_nothing() -> None:
    registrar = Registrar()
    reply = registrar.register(register("<sip:a@h>", "<sip:b@h>;expires=59"), UDP, "", 0.0)
    assert (reply.code, reply.headers, reply.changed) == (423, (("Min-Expires", "60"),), None)
    assert contacts(registrar) == []


def test_the_best_come_first_and_of_equals_the_newest() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h>;q=0.5", "<sip:b@h>;q=0.9"), UDP, "", 0.0)
    registrar.register(register("<sip:c@h>;q=0.9", call_id="c2"), UDP, "", 1.0)
    assert contacts(registrar) == ["sip:c@h", "sip:b@h", "sip:a@h"]


def test_a_fetch_tells_all_and_changes_nothing() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h>"), UDP, "", 0.0)
    reply = registrar.register(register(cseq=2), UDP, "", 600.0)
    assert (reply.headers, reply.changed) == ((("Contact", "<sip:a@h>;expires=3000"),), None)


def test_a_refresh_takes_the_place_of_the_old_binding() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h;transport=tcp>"), UDP, "", 0.0)
    reply = registrar.register(register("<sip:a@H;transport=TCP>", cseq=2), TCP, "", 600.0)
    assert reply.changed is not None
    (binding,) = registrar.bindings(AOR, 600.0)
    assert (binding.expires, binding.flow) == (4200.0, TCP)


@pytest.mark.parametrize("cseq", [1, 2])
def test_an_old_request_of_the_same_call_id_changes_nothing_at_all(cseq: int) -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h>", cseq=2), UDP, "", 0.0)
    reply = registrar.register(register("<sip:new@h>", "<sip:a@h>;expires=0", cseq=cseq), UDP, "", 1.0)
    assert (reply.code, contacts(registrar)) == (500, ["sip:a@h"])


def test_another_call_id_may_replace_whatever_its_number() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h>", cseq=9), UDP, "", 0.0)
    assert registrar.register(register("<sip:a@h>", cseq=1, call_id="c2"), UDP, "", 1.0).code == 200
    assert registrar.bindings(AOR, 1.0)[0].call_id == "c2"


def test_a_terminal_unregisters_itself_or_all() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h>", "<sip:b@h>"), UDP, "", 0.0)
    gone = registrar.register(register("<sip:a@h>;expires=0", cseq=2), UDP, "", 1.0)
    assert gone.changed == BindingsChanged(AOR, ("sip:b@h",))
    gone = registrar.register(register("*", cseq=3, expires=0), UDP, "", 2.0)
    assert (gone.changed, len(registrar), registrar.deadline()) == (BindingsChanged(AOR, ()), 0, None)


@pytest.mark.parametrize(
    ("values", "expires"), [(["*"], None), (["*"], 60), (["*", "<sip:a@h>"], 0), (["<sip:a@h>", "*"], 0)]
)
def test_a_star_that_is_none(values: list[str], expires: int | None) -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h>"), UDP, "", 0.0)
    assert registrar.register(register(*values, cseq=2, expires=expires), UDP, "", 0.0).code == 400
    assert contacts(registrar) == ["sip:a@h"]


def test_a_star_out_of_order() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h>", cseq=5), UDP, "", 0.0)
    assert registrar.register(register("*", cseq=5, expires=0), UDP, "", 0.0).code == 500
    assert contacts(registrar) == ["sip:a@h"]


@pytest.mark.parametrize("contact", ["<tel:+15145550100>", "<sip:a@h", "<mailto:a@h>", f"<sip:{'a' * 2000}@h>"])
def test_a_contact_that_cannot_be_called(contact: str) -> None:
    assert Registrar().register(register(contact), UDP, "", 0.0).code == 400


@pytest.mark.parametrize("contact", ["<sip:\udcff@h>", "<sip:a\0b@h>", f"<sip:{'a' * 510}@h>"])
def test_a_contact_that_no_database_keeps(contact: str) -> None:
    assert Registrar().register(register(contact), UDP, "", 0.0).code == 400


def test_an_address_of_record_that_no_database_keeps() -> None:
    registrar = Registrar()
    assert registrar.register(register("<sip:a@h>", to=f"sip:{'a' * 250}@h"), UDP, "", 0.0).code == 404
    assert registrar.register(register("<sip:é@h>", to="sip:élise@h"), UDP, "", 0.0).code == 200


def test_nobody_registers_another() -> None:
    registrar = Registrar()
    assert registrar.register(register("<sip:a@h>"), UDP, "mallory", 0.0).code == 403
    assert contacts(registrar) == []


def test_only_our_domains() -> None:
    registrar = Registrar(RegistrarSettings(domain="conf.example", domains=frozenset({"192.0.2.1"})))
    assert registrar.register(register("<sip:a@h>"), UDP, "", 0.0).code == 404
    reply = registrar.register(register("<sip:a@h>", to="sip:alice@192.0.2.1:5070"), UDP, "", 0.0)
    assert reply.changed == BindingsChanged("sip:alice@conf.example", ("sip:a@h",))
    assert contacts(registrar, aor="sip:alice@conf.example") == ["sip:a@h"]
    assert Registrar().register(register("<sip:a@h>", to="sip:example.org"), UDP, "", 0.0).code == 404


def test_bindings_end() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h>;expires=60", "<sip:b@h>;expires=90"), UDP, "", 0.0)
    assert registrar.deadline() == 60
    assert contacts(registrar, 60.0) == ["sip:b@h"]
    assert registrar.expire(60.0) == [BindingsChanged(AOR, ("sip:b@h",))]
    assert registrar.deadline() == 90
    assert registrar.expire(90.0) == [BindingsChanged(AOR, ())]
    assert (len(registrar), registrar.deadline(), registrar.expire(99.0)) == (0, None, [])


def test_the_same_instance_from_a_new_address_is_one_terminal() -> None:
    registrar = Registrar()
    same = ';+sip.instance="<urn:uuid:1>";reg-id=1'
    registrar.register(register(f"<sip:a@h:1>{same}"), TCP, "", 0.0)
    reply = registrar.register(register(f"<sip:a@h:2>{same}", call_id="c2"), TCP, "", 1.0)
    assert reply.headers == (("Contact", f"<sip:a@h:2>{same};expires=3600"),)


def test_a_user_has_at_most_ten_terminals_and_the_newest_stay() -> None:
    registrar = Registrar()
    for n in range(12):
        registrar.register(register(f"<sip:a@h:{1000 + n}>", call_id=f"c{n}"), UDP, "", float(n))
    assert contacts(registrar) == [f"sip:a@h:{1000 + n}" for n in range(11, 1, -1)]
    many = [f"<sip:a@h:{n}>" for n in range(1, 12)]
    assert registrar.register(register(*many, call_id="x"), UDP, "", 20.0).code == 403


def test_users_are_bounded() -> None:
    registrar = Registrar(RegistrarSettings(max_users=2))
    codes = [registrar.register(register("<sip:a@h>", to=f"sip:u{n}@example.org"), UDP, "", 0.0).code for n in range(4)]
    assert (codes, len(registrar)) == ([200, 200, 503, 503], 2)
    assert registrar.register(register("<sip:b@h>", to="sip:u1@example.org", cseq=2), UDP, "", 0.0).code == 200


def test_the_time_of_day_is_told_when_known() -> None:
    registrar = Registrar()
    registrar.keep_time(100.0, 1_700_000_000.0)
    reply = registrar.register(register(), UDP, "", 160.0)
    assert reply.headers == (("Date", "Tue, 14 Nov 2023 22:14:20 GMT"),)


# Connections


def test_a_connection_that_ends_leaves_the_contacts_address() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@198.51.100.9:5062;transport=tcp>"), TCP, "", 0.0)
    assert registrar.closed(replace(TCP, remote=("203.0.113.7", 9))) == []
    assert registrar.closed(TCP) == [BindingsChanged(AOR, ("sip:a@198.51.100.9:5062;transport=tcp",))]
    assert registrar.bindings(AOR, 0.0)[0].flow == Flow(Transport.TCP, TCP.local, ("198.51.100.9", 5062))
    assert registrar.closed(TCP) == []


def test_a_terminal_that_only_its_connection_reached_is_gone() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@x1.invalid;transport=ws>"), TCP, "", 0.0)
    assert registrar.closed(TCP) == [BindingsChanged(AOR, ())]
    assert (len(registrar), registrar.deadline()) == (0, None)


# Storage


def test_a_restart_recovers_registrations() -> None:
    before, after = Registrar(), Registrar(RegistrarSettings(domain="new.example"))
    contact = '<sip:al%20ice@10.0.0.5>;q=0.3;+sip.instance="<urn:uuid:1>";x'
    before.register(register(contact, to="sip:al%20ice@h"), UDP, "", 50.0)
    stored = before.dump(60.0, 1_000_000.0)
    assert stored[0].expires == 1_003_590.0
    assert after.load(stored, 5.0, 1_000_100.0) == 1
    (binding,) = after.bindings("sip:al%20ice@anywhere", 5.0)
    assert (binding.contact, binding.q, binding.flow, binding.expires) == ("sip:al%20ice@10.0.0.5", 0.3, UDP, 3495.0)
    assert binding.aor == "sip:al%20ice@new.example"
    assert after.deadline() == 3495.0
    reply = after.register(register("<sip:al%20ice@10.0.0.5>", to="sip:al%20ice@h"), UDP, "", 6.0)
    assert reply.code == 500, "Call-ID and CSeq are remembered"


def test_what_ended_while_we_were_away_stays_away() -> None:
    before, after = Registrar(), Registrar()
    before.register(register("<sip:a@h>", expires=60), UDP, "", 0.0)
    assert after.load(before.dump(0.0, 1000.0), 0.0, 1060.0) == 0


def test_connections_do_not_outlive_us() -> None:
    before, after = Registrar(), Registrar()
    before.register(register("<sip:a@x1.invalid>", "<sip:b@198.51.100.9>"), TCP, "", 0.0)
    after.load(before.dump(0.0, 0.0), 0.0, 0.0)
    assert [(b.contact, b.flow.remote) for b in after.bindings(AOR, 0.0)] == [
        ("sip:b@198.51.100.9", ("198.51.100.9", 5060))
    ]


@pytest.mark.parametrize(
    "bad",
    [{"aor": "x"}, {"contact": "x"}, {"transport": "PIGEON"}, {"remote": ()}, {"parameters": ';"'}, {"aor": "sip:h"}],
)
def test_storage_that_cannot_be_read_hurts_nobody_else(bad: dict[str, object]) -> None:
    before, after = Registrar(), Registrar()
    before.register(register("<sip:a@h>"), UDP, "", 0.0)
    stored = before.dump(0.0, 0.0)
    broken = replace(stored[0], **bad)  # type: ignore[arg-type]
    assert after.load([broken, *stored], 0.0, 0.0) == 1


def test_a_clock_that_was_wrong_makes_no_eternal_binding() -> None:
    before, after = Registrar(), Registrar()
    before.register(register("<sip:a@h>"), UDP, "", 0.0)
    after.load(before.dump(0.0, 4e9), 0.0, 0.0)
    assert after.deadline() == 7200


# Properties


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_it_agrees_with_a_plain_model(seed: int) -> None:
    """Random REGISTERs, expiries and restarts against a dictionary."""
    rng = random.Random(seed)
    registrar, model, now = Registrar(), dict[tuple[str, str], tuple[float, str, int]](), 0.0
    for _ in range(60):
        now += rng.choice([0.0, 1.0, 45.0])
        model = {key: value for key, value in model.items() if value[0] > now}
        if rng.random() < 0.5:
            registrar.expire(now)
        if rng.random() < 0.05:
            registrar, stored = Registrar(), registrar.dump(now, now + 7.0)
            registrar.load(stored, now, now + 7.0)
        user, cseq, call_id = rng.choice("ab"), rng.randrange(1, 9), rng.choice(["c", "d"])
        expires = rng.choice([0, 60, 100])
        uris = rng.sample(["sip:1@h", "sip:2@h", "sip:3@h"], rng.randrange(4))
        request = register(
            *(f"<{uri}>" for uri in uris), cseq=cseq, call_id=call_id, expires=expires, to=f"sip:{user}@h"
        )
        old = [value for uri in uris if (value := model.get((user, uri)))]
        refused = any(value[1] == call_id and value[2] >= cseq for value in old)
        assert registrar.register(request, UDP, user, now).code == (500 if refused else 200)
        if not refused:
            for uri in uris:
                model.pop((user, uri), None)
                if expires:
                    model[user, uri] = (now + expires, call_id, cseq)
        for name in "ab":
            assert {b.contact for b in registrar.bindings(f"sip:{name}@h", now)} == {
                uri for who, uri in model if who == name
            }
        due = registrar.deadline()
        assert due is None or not model or due <= min(value[0] for value in model.values())


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"), max_size=40), max_size=4))
def test_any_contact_is_bound_or_refused(values: list[str]) -> None:
    registrar = Registrar()
    reply = registrar.register(register(*values), UDP, "", 0.0)
    assert reply.code in (200, 400, 423)
    assert not any("\r" in value or "\n" in value for _, value in reply.headers)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [  # RFC 3261 §19.1.4's own examples
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", True),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", True),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", True),
        ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
         "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", True),
        ("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
         "sip:alice@atlanta.com?priority=urgent&subject=project%20x", True),
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", False),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", False),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", False),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", False),
    ],
)  # fmt: skip
def test_uris_that_are_the_same(one: str, other: str, same: bool) -> None:
    assert same_uri(Uri.parse(one), Uri.parse(other)) is same
    assert same_uri(Uri.parse(other), Uri.parse(one)) is same


def test_one_users_bindings_can_be_stored_alone() -> None:
    registrar = Registrar()
    registrar.register(register("<sip:a@h>"), UDP, "", 0.0)
    registrar.register(register("<sip:b@h>", to="sip:bob@h"), UDP, "", 0.0)
    assert [one.contact for one in registrar.dump(0.0, 0.0, "sip:bob@localhost")] == ["sip:b@h"]
    assert registrar.dump(0.0, 0.0, "sip:nobody@localhost") == []


def test_stored_bindings_are_text_and_numbers() -> None:
    registrar = Registrar()
    registrar.register(register('<sip:a@h>;q=0.5;+sip.instance="<urn:x>"'), UDP, "", 0.0)
    assert registrar.dump(0.0, 10.0) == [
        StoredBinding(
            AOR,
            "sip:a@h",
            ';q=0.5;+sip.instance="<urn:x>"',
            0.5,
            3610.0,
            "c1",
            1,
            "UDP",
            ("192.0.2.1", 5060),
            ("203.0.113.7", 40000),
        )
    ]
