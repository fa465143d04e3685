"""Digest authentication, both roles against each other and against the RFCs' own figures."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling.auth import (
    ALGORITHMS,
    NONCE_LIFETIME,
    BadCredentials,
    Challenger,
    Credentials,
    Verdict,
    escape,
    parse_digest,
    respond,
    unescape,
)
from bridge.signalling.message import Request, Response

PASSWORDS = {"alice": "secret", "bob": "hunter2"}
SECRET = b"s" * 32


def request(cseq: int = 1, call_id: str = "c1", method: str = "REGISTER") -> Request:
    headers = [
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
        ("From", "<sip:alice@example.org>;tag=1"),
        ("To", "<sip:alice@example.org>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
    ]
    return Request.build(method, "sip:example.org", headers)


def challenged(challenger: Challenger, asked: Request, now: float = 0.0, *, stale: bool = False) -> Response:
    return Response.answering(asked, 401, headers=challenger.challenges(now, stale=stale), tag="t")


def credentials(user: str = "alice", password: str = "secret") -> Credentials:
    return Credentials(user, password, rng=random.Random(1))


def proved(challenger: Challenger, who: Credentials, now: float = 0.0, cseq: int = 1) -> Request:
    """A request that answers a challenge made at ``now``."""
    answered = request(cseq + 1)
    assert who.answer(challenged(challenger, request(cseq), now), answered)
    return answered


def verdict(challenger: Challenger, asked: Request, now: float = 0.0) -> Verdict:
    return challenger.verify(asked, PASSWORDS.get, now).verdict


# The figures of the RFCs


def test_rfc_2617_example() -> None:
    response = respond(
        "MD5",
        ("Mufasa", "testrealm@host.com", "Circle Of Life"),
        ("GET", "/dir/index.html"),
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        qop="auth",
        count="00000001",
        cnonce="0a4f113b",
    )
    assert response == "6629fae49393a05397450978507c4ef1"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_examples(algorithm: str, expected: str) -> None:
    response = respond(
        algorithm,
        ("Mufasa", "http-auth@example.org", "Circle of Life"),
        ("GET", "/dir/index.html"),
        "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        qop="auth",
        count="00000001",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert response == expected


# The grammar


def test_quoted_commas_and_escaped_quotes() -> None:
    found = parse_digest('Digest realm="a, \\"b\\" c=d",nonce = "n" ,, qop="auth,auth-int", algorithm=MD5')
    assert found == {"realm": 'a, \\"b\\" c=d', "nonce": "n", "qop": "auth,auth-int", "algorithm": "MD5"}


def test_another_scheme_is_none_of_ours() -> None:
    assert parse_digest("Basic dXNlcjpwYXNz") is None


@pytest.mark.parametrize(
    "value",
    [
        'Digest realm="open',
        'Digest realm="a" nonce="b"',
        "Digest realm",
        'Digest realm="a", realm="b"',
        "Digest =x",
        "Digest " + 'a="' + "x" * 5000 + '"',
    ],
)
def test_bad_grammar_is_one_error(value: str) -> None:
    with pytest.raises(BadCredentials):
        parse_digest(value)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(BadCredentials):
        parse_digest("Digest " + text)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_what_is_escaped_comes_back(text: str) -> None:
    found = parse_digest(f'Digest a="{escape(text)}", b=c')
    assert found is not None
    assert unescape(found["a"]) == text
    assert found["b"] == "c"


# A challenge and its answer


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm(algorithm: str) -> None:
    challenger = Challenger("visiopont", SECRET, algorithms=(algorithm,))
    answered = proved(challenger, credentials())
    assert f"algorithm={algorithm}" in (answered.headers.get("Authorization") or "")
    proof = challenger.verify(answered, PASSWORDS.get, 0.0)
    assert (proof.verdict, proof.user) == (Verdict.PROVED, "alice")


def test_sha_256_is_challenged_first_and_chosen() -> None:
    challenger = Challenger("visiopont", SECRET)
    fields = challenged(challenger, request()).headers.raw("WWW-Authenticate")
    assert ["SHA-256" in fields[0], "MD5" in fields[1]] == [True, True]
    assert "algorithm=SHA-256" in (proved(challenger, credentials()).headers.get("Authorization") or "")


def test_the_strongest_is_chosen_wherever_it_stands() -> None:
    challenger = Challenger("visiopont", SECRET, algorithms=("MD5", "SHA-256"))
    assert "algorithm=SHA-256" in (proved(challenger, credentials()).headers.get("Authorization") or "")


def test_no_algorithm_named_is_md5_both_ways() -> None:
    challenger = Challenger("visiopont", SECRET, algorithms=("MD5",))
    challenge = [(name, value.replace(", algorithm=MD5", "")) for name, value in challenger.challenges(0.0)]
    answered = request(2)
    assert credentials().answer(Response.answering(request(1), 401, headers=challenge), answered)
    value = answered.headers["Authorization"]
    answered.headers.replace("Authorization", value, value.replace(", algorithm=MD5", ""))
    assert verdict(challenger, answered) is Verdict.PROVED


def test_a_client_without_qop_gets_one_request_for_a_nonce() -> None:
    challenger = Challenger("visiopont", SECRET, algorithms=("MD5",))
    bare = [(name, value.replace(', qop="auth"', "")) for name, value in challenger.challenges(0.0)]
    who, answered, again = credentials(), request(2), request(3)
    assert who.answer(Response.answering(request(1), 401, headers=bare), answered)
    who.prepare(again)
    assert "qop" not in answered.headers["Authorization"]
    assert verdict(challenger, answered) is Verdict.PROVED
    assert verdict(challenger, again) is Verdict.STALE


def test_wrong_password_unknown_user_and_no_credentials() -> None:
    challenger = Challenger("visiopont", SECRET)
    assert verdict(challenger, request()) is Verdict.MISSING
    assert verdict(challenger, proved(challenger, credentials(password="guess"))) is Verdict.WRONG
    assert verdict(challenger, proved(challenger, credentials(user="mallory"))) is Verdict.WRONG


def test_the_secret_is_no_password_of_unknown_users() -> None:
    challenger = Challenger("visiopont", SECRET)
    who = credentials(user="mallory", password=SECRET.hex())
    assert verdict(challenger, proved(challenger, who)) is Verdict.WRONG


def test_another_realms_credentials_are_passed_over() -> None:
    other, ours = Challenger("elsewhere", SECRET), Challenger("visiopont", SECRET)
    assert verdict(ours, proved(other, credentials())) is Verdict.MISSING


def test_a_method_is_not_proved_by_anothers_digest() -> None:
    challenger = Challenger("visiopont", SECRET)
    invite = request(2, method="INVITE")
    invite.headers.append("Authorization", proved(challenger, credentials()).headers["Authorization"])
    assert verdict(challenger, invite) is Verdict.WRONG


@pytest.mark.parametrize("realm", ['say "friend"', "back\\slash", "a, b", "Salle du conseil é"])
def test_awkward_realms_and_users(realm: str) -> None:
    challenger = Challenger(realm, SECRET)
    user = 'al"ice, é\\'
    answered = proved(challenger, credentials(user=user))
    proof = challenger.verify(answered, {user: "secret"}.get, 0.0)
    assert (proof.verdict, proof.user) == (Verdict.PROVED, user)


# Nonces


def test_a_nonce_ages() -> None:
    challenger = Challenger("visiopont", SECRET)
    answered = proved(challenger, credentials(), now=10.0)
    assert verdict(challenger, answered, 10.0 + NONCE_LIFETIME + 1) is Verdict.STALE
    assert verdict(challenger, answered, 10.0 + NONCE_LIFETIME - 1) is Verdict.PROVED


def test_a_replay_is_stale() -> None:
    challenger = Challenger("visiopont", SECRET)
    answered = proved(challenger, credentials())
    assert verdict(challenger, answered) is Verdict.PROVED
    assert verdict(challenger, answered) is Verdict.STALE


def test_a_nonce_serves_many_requests_in_any_order() -> None:
    challenger, who = Challenger("visiopont", SECRET), credentials()
    batch = [proved(challenger, who)]
    for cseq in range(3, 13):
        batch.append(request(cseq))
        who.prepare(batch[-1])
    assert "nc=0000000b" in batch[-1].headers["Authorization"]
    random.Random(4).shuffle(batch)
    assert [verdict(challenger, each) for each in batch] == [Verdict.PROVED] * 11
    assert [verdict(challenger, each) for each in batch] == [Verdict.STALE] * 11


def test_a_nonce_of_another_life_is_stale_not_wrong() -> None:
    answered = proved(Challenger("visiopont", b"before"), credentials())
    assert verdict(Challenger("visiopont", SECRET), answered) is Verdict.STALE


def test_a_full_table_forgets_no_replay() -> None:
    challenger = Challenger("visiopont", SECRET, max_nonces=3)
    used = [proved(challenger, credentials(), now=n) for n in range(6)]
    assert [verdict(challenger, each, 6.0) for each in used] == [Verdict.PROVED] * 6
    assert [verdict(challenger, each, 6.0) for each in used] == [Verdict.STALE] * 6
    assert len(challenger._used) <= 3


@given(st.lists(st.integers(0, 200), max_size=80))
def test_no_count_is_taken_twice(counts: list[int]) -> None:
    challenger = Challenger("visiopont", SECRET)
    nonce = challenger._nonce(0.0)
    taken = [count for count in counts if challenger._first(nonce, count, 0.0)]
    assert len(taken) == len(set(taken))
    if counts:
        assert max(counts) in taken or max(counts) == 0


# The client


def test_rejected_credentials_are_not_sent_again() -> None:
    challenger, who = Challenger("visiopont", SECRET), credentials()
    first = proved(challenger, who)
    assert not who.answer(challenged(challenger, first), request(3))


def test_a_stale_nonce_is_answered_again() -> None:
    challenger, who = Challenger("visiopont", SECRET), credentials()
    first, again = proved(challenger, who), request(3)
    assert who.answer(challenged(challenger, first, stale=True), again)
    assert verdict(challenger, again) is Verdict.PROVED
    assert again.headers["Authorization"].endswith("nc=00000001")


def test_a_nonce_that_comes_twice_is_counted_on() -> None:
    challenger, who = Challenger("visiopont", SECRET), credentials()
    response = challenged(challenger, request(1))
    one, two = request(2), request(2, call_id="c2")
    assert who.answer(response, one)
    assert who.answer(Response.answering(request(1, "c2"), 401, headers=response.headers.items()), two)
    assert "nc=00000002" in two.headers["Authorization"]


def test_credentials_sent_ahead_may_be_refused_once() -> None:
    """A server that forgot its nonces does not always say ``stale``."""
    challenger, who = Challenger("visiopont", SECRET), credentials()
    proved(challenger, who)
    ahead, again = request(3), request(4)
    who.prepare(ahead)
    who.prepare(again)
    assert who.answer(challenged(challenger, ahead), again)
    assert len(again.headers.raw("Authorization")) == 1
    assert not who.answer(challenged(challenger, again), request(5))


def test_a_proxy_and_a_registrar_are_both_answered() -> None:
    who = credentials()
    proxy, registrar = Challenger("proxy", SECRET), Challenger("visiopont", SECRET)
    second, third = request(2), request(3)
    asked = [("Proxy-Authenticate", value) for _, value in proxy.challenges(0.0)]
    assert who.answer(Response.answering(request(1), 407, headers=asked), second)
    assert who.answer(challenged(registrar, second), third)
    assert "proxy" in third.headers["Proxy-Authorization"]
    assert verdict(registrar, third) is Verdict.PROVED


def test_only_its_own_realm() -> None:
    who = Credentials("alice", "secret", realm="provider")
    assert not who.answer(challenged(Challenger("thief", SECRET), request(1)), request(2))


@pytest.mark.parametrize(
    "challenge",
    [
        "Basic realm=x",
        'Digest realm="a"',
        'Digest realm="a", nonce="n", algorithm=MD5-sess',
        'Digest realm="a", nonce="n", qop="auth-int"',
        'Digest realm="a',
    ],
)
def test_challenges_that_we_cannot_answer(challenge: str) -> None:
    response = Response.answering(request(1), 401, headers=[("WWW-Authenticate", challenge)])
    assert not credentials().answer(response, request(2))


def test_opaque_is_echoed() -> None:
    challenge = [("WWW-Authenticate", 'Digest realm="a", nonce="n", opaque="5ccc", qop="auth"')]
    answered = request(2)
    assert credentials().answer(Response.answering(request(1), 401, headers=challenge), answered)
    assert 'opaque="5ccc"' in answered.headers["Authorization"]


# Hostile credentials

HOSTILE = [
    'Digest realm="visiopont"',
    'Digest realm="visiopont", username="alice", nonce="n", uri="sip:x"',
    'Digest realm="visiopont", username="alice", nonce="n", uri="sip:x", response="r", qop=auth',
    'Digest realm="visiopont", username="alice", nonce="n", uri="sip:x", response="r", qop=auth-int, nc=1, cnonce="c"',
    'Digest realm="visiopont", username="alice", nonce="n", uri="sip:x", response="r", qop=auth, nc=zz, cnonce="c"',
    'Digest realm="visiopont", username="alice", nonce="n", uri="sip:x", response="r", algorithm=CRC32',
    'Digest realm="visiopont',
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_credentials_are_one_error(value: str) -> None:
    asked = request()
    asked.headers.append("Authorization", value)
    with pytest.raises(BadCredentials):
        verdict(Challenger("visiopont", SECRET), asked)


@given(
    st.dictionaries(
        st.sampled_from(["username", "nonce", "uri", "response", "qop", "nc", "cnonce", "algorithm", "opaque"]),
        st.text(st.characters(exclude_characters='"\\'), max_size=30) | st.sampled_from(["auth", "MD5", "00000001"]),
    )
)
def test_whatever_is_claimed_nobody_is_proved(parameters: dict[str, str]) -> None:
    asked = request()
    value = ", ".join(f'{name}="{text}"' for name, text in [("realm", "visiopont"), *parameters.items()])
    asked.headers.append("Authorization", f"Digest {value}")
    with contextlib.suppress(BadCredentials):
        assert verdict(Challenger("visiopont", SECRET), asked) is Verdict.WRONG


def test_lone_surrogates_of_the_wire_do_not_crash() -> None:
    challenger = Challenger("visiopont", SECRET)
    asked = request()
    value = 'Digest realm="visiopont", username="\udcff", nonce="\udcfe", uri="\udcfd", response="\udcfc"'
    asked.headers.append("Authorization", value)
    assert verdict(challenger, asked) is Verdict.WRONG


def test_algorithms_that_cannot_be_computed_are_refused() -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        Challenger("visiopont", SECRET, algorithms=("ROT13",))
