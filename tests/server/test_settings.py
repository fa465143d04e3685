"""Settings: flags over environment over file over defaults, and faults that say what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from server import derived
from server.reference import markdown
from server.settings import Settings, faults, load


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def complaints(file: str = "", **flags: Any) -> list[str]:
    Path("visiopont.toml").write_text(file)
    with pytest.raises(ValidationError) as caught:
        load(None, flags)
    return list(faults(caught.value))


def test_nothing_needs_to_be_set() -> None:
    settings = load(None, {})
    assert settings.sip.listen == ("udp:0.0.0.0:5060", "tcp:0.0.0.0:5060")
    assert settings.http.listen == "127.0.0.1:8080"


def test_flags_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("other.toml").write_text('[media]\nworkers = 2\nstreams = 100\nloudest = 3\n[sip]\nrealm = "file"\n')
    monkeypatch.setenv("VISIOPONT_MEDIA__STREAMS", "200")
    monkeypatch.setenv("VISIOPONT_MEDIA__LOUDEST", "4")
    settings = load(Path("other.toml"), {"media": {"loudest": 5}})
    assert (settings.media.workers, settings.media.streams, settings.media.loudest) == (2, 200, 5)
    assert settings.sip.realm == "file"


def test_the_file_in_the_working_directory_is_found() -> None:
    Path("visiopont.toml").write_text("[media]\nworkers = 3\n")
    assert load(None, {}).media.workers == 3


def test_a_file_that_is_named_must_be_there() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.toml: there is no such settings file"):
        load(Path("nowhere.toml"), {})


def test_a_file_that_is_no_toml_is_named() -> None:
    Path("visiopont.toml").write_text("[sip\n")
    with pytest.raises(ValueError, match=r"visiopont.toml: .*line 1"):
        load(None, {})


def test_a_list_in_the_environment_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIOPONT_SIP__LISTEN", "udp:0.0.0.0:5060")
    monkeypatch.setenv("VISIOPONT_SIP__ADDRESS", "203.0.113.9")
    with pytest.raises(ValueError, match=r"^VISIOPONT_SIP__LISTEN: write lists as JSON there"):
        load(None, {})


def test_an_unknown_key_is_a_fault_with_the_one_that_was_meant() -> None:
    assert complaints("[sip]\nlissten = []\n") == ["[sip] lissten: there is no such key; did you mean 'listen'?"]
    assert complaints("[sib]\n") == ["[sib]: there is no such key; did you mean 'sip'?"]
    assert complaints("[media]\nzzz = 1\n") == ["[media] zzz: there is no such key"]


def test_every_fault_is_told_not_only_the_first() -> None:
    said = complaints('[media]\nworkers = 0\nports = "7"\n', sip={"listen": ("5060",)})
    assert len(said) == 3
    assert any("write two port numbers" in line for line in said)
    assert any("begin with udp:, tcp: or tls:" in line for line in said)


def test_an_account_that_is_there_twice_is_a_fault() -> None:
    account = {"user": "alice", "password": "x"}
    assert complaints(sip={"accounts": (account, account)}) == ["[sip] accounts: alice: there twice"]


def test_authentication_without_accounts_is_a_fault() -> None:
    assert "add [[sip.accounts]]" in complaints(sip={"require_authentication": True})[0]


@pytest.mark.parametrize(
    ("http", "local", "exposed"),
    [
        ({"listen": "127.0.0.1:8080"}, True, False),
        ({"listen": "127.0.0.1:8080", "expose": True}, True, False),
        ({"listen": "0.0.0.0:8443"}, False, False),
        ({"listen": "0.0.0.0:8443", "expose": True}, False, True),
    ],
)
def test_the_api_is_this_machines_wherever_http_listens_unless_it_is_exposed(
    http: dict[str, object], local: bool, exposed: bool
) -> None:
    found = derived.access(load(None, {"http": http}))
    assert (found.local, found.exposed) == (local, exposed)


@pytest.mark.parametrize(
    "text", ["meet.example.org", "https://meet.example.org/x", "ftp://a", "https://a b", "https://"]
)
@pytest.mark.parametrize("key", ["public_url", "origins"])
def test_what_is_no_site_is_a_fault(key: str, text: str) -> None:
    assert "write scheme and host" in complaints(http={key: text if key == "public_url" else (text,)})[0]


def test_links_begin_with_what_browsers_can_reach() -> None:
    def base(**http: str) -> str:
        return derived.links_base(load(None, {"http": http, "sip": {"address": "192.0.2.7"}}), 8443)

    assert base(listen="127.0.0.1:8443") == "http://127.0.0.1:8443"
    assert base(listen="0.0.0.0:8443", tls_certificate="x.pem") == "https://192.0.2.7:8443"
    assert base(listen="127.0.0.1:0", public_url="https://meet.example.org/") == "https://meet.example.org"


def test_relays_need_their_secret() -> None:
    assert "turn_secret" in complaints(webrtc={"turn": ("turn:turn.example.org",)})[0]
    assert "begin with turn:" in complaints(webrtc={"turn": ("https://turn.example.org",), "turn_secret": "x"})[0]
    assert load(None, {"webrtc": {"turn": ("stun:stun.example.org",)}}).webrtc.turn


def test_passwords_are_not_shown() -> None:
    settings = load(None, {"sip": {"accounts": ({"user": "alice", "password": "geheim"},)}})
    assert "geheim" not in repr(settings)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load(None, {}).sip.realm = "other"


def test_every_key_is_described() -> None:
    for section in Settings.model_fields.values():
        for name, field in getattr(section.annotation, "model_fields", {}).items():
            assert field.description, name


def test_the_reference_page_is_current() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
    assert page.read_text() == markdown(), "run: .venv/bin/visiopont settings --markdown > docs/configuration.md"


# --------------------------------------------------------------------------------------------- what they mean


def test_a_room_with_an_unknown_key_names_room_and_key() -> None:
    Path("visiopont.toml").write_text("[room.conseil]\nnumbr = 1\n")
    with pytest.raises(ValueError, match=r"conseil.*numbr"):
        derived.rooms(load(None, {}))


def test_rooms_take_what_they_dont_say_from_the_rooms_section() -> None:
    Path("visiopont.toml").write_text('[rooms]\nlanguage = "en-CA"\ncapacity = 7\n[room.a]\n[room.b]\ncapacity = 9\n')
    a, b = derived.rooms(load(None, {}))
    assert (a.language, a.capacity, b.language, b.capacity) == ("en-CA", 7, "en-CA", 9)


@pytest.mark.parametrize(
    ("listen", "host", "expected"),
    [
        (("udp:0.0.0.0:5060",), "", ""),
        (("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"), "", "127.0.0.1"),
        (("udp:127.0.0.1:5060", "udp:[::1]:5060"), "", ""),
        (("udp:[::]:5060",), "", ""),
        (("udp:127.0.0.1:5060",), "192.0.2.1", "192.0.2.1"),
        (("udp:127.0.0.1:5060",), "0.0.0.0", ""),
    ],
)
def test_media_sockets_are_where_the_listeners_are(listen: tuple[str, ...], host: str, expected: str) -> None:
    assert derived.media_host(load(None, {"sip": {"listen": listen}, "media": {"host": host}})) == expected


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_ports_are_shared_out_in_pairs_without_overlap(workers: int) -> None:
    shares = derived.shares("16001-16040", workers)
    every = [port for share in shares for port in share]
    assert every == list(range(16002, 16040, 2))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_too_few_ports_are_a_fault() -> None:
    with pytest.raises(ValueError, match=r"\[media\] ports"):
        derived.shares("16000-16003", 3)


def test_without_domains_every_host_is_ours() -> None:
    assert derived.domains(load(None, {})) == frozenset()


def test_domains_are_ours_besides_our_addresses() -> None:
    sip = {"domains": ("Conf.Example",), "listen": ("udp:192.0.2.7:5060",), "address": "203.0.113.9"}
    ours = derived.domains(load(None, {"sip": sip}))
    assert {"conf.example", "192.0.2.7", "203.0.113.9", "127.0.0.1", "localhost"} <= ours


def test_sound_and_pictures_have_ports_of_their_own() -> None:
    with pytest.raises(ValidationError, match="overlap"):
        load(None, {"media": {"ports": "16000-17100"}})
    load(None, {"media": {"ports": "16000-17100"}, "video": {"enabled": False}})
    load(None, {"media": {"ports": "16000-16999"}})


def test_each_worker_has_a_port_by_tcp_too() -> None:
    def ports(**webrtc: object) -> range:
        return load(None, {"webrtc": webrtc, "media": {"workers": 2}}).bundle_tcp_ports

    assert ports() == range(18000, 18002)
    assert ports(tcp_port=443) == range(443, 445)
    assert not ports(tcp_port=0)
