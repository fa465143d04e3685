"""A phone of pyVoIP 1.6.8, run as a program: its threads and sockets are not fit to live in a test's process.

pyvoip_phone.py REGISTRAR_PORT SIP_PORT RTP_LOW RTP_HIGH USER NUMBER TONE SECONDS RECORDING
"""

from __future__ import annotations

import math
import sys
import time
import wave

from pyVoIP.VoIP import CallState, InvalidStateError, PhoneStatus, VoIPPhone

PIECE = 160
"""Samples of 8 kHz, unsigned 8 bits, which is all it does."""


def main() -> None:
    registrar, sip, low, high = map(int, sys.argv[1:5])
    user, number, tone, seconds, recording = sys.argv[5:10]
    phone = VoIPPhone(
        "127.0.0.1", registrar, user, "secret", myIP="127.0.0.1", sipPort=sip, rtpPortLow=low, rtpPortHigh=high
    )
    phone.start()
    try:
        wait(lambda: phone.get_status() == PhoneStatus.REGISTERED, "registered")
        call = phone.call(number)
        wait(lambda: call.state == CallState.ANSWERED, "answered")
        heard = talk(call, int(tone), float(seconds))
        with wave.open(recording, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(1)
            out.setframerate(8000)
            out.writeframes(heard)
        say("recorded")
        # Somebody else may have ended it.
        if call.state == CallState.ANSWERED:
            call.hangup()
        time.sleep(0.3)
    finally:
        phone.stop()


def talk(call: object, tone: int, seconds: float) -> bytes:
    heard, sent, start = bytearray(), 0, time.monotonic()
    try:
        while time.monotonic() < start + seconds:
            piece = (math.sin(2 * math.pi * tone * n / 8000) for n in range(sent, sent + PIECE))
            call.write_audio(bytes(128 + round(16 * value) for value in piece))  # type: ignore[attr-defined]
            sent += PIECE
            heard += call.read_audio(PIECE, blocking=False)  # type: ignore[attr-defined]
            time.sleep(max(0.0, start + sent / 8000 - time.monotonic()))
    except InvalidStateError:
        say("ended by the other side")
    return bytes(heard)


def wait(condition: object, what: str) -> None:
    end = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            sys.exit(f"not {what}")
        time.sleep(0.05)
    say(what)


def say(what: str) -> None:
    print(what, flush=True)


main()
