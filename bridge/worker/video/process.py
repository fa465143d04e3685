"""The video process: beside the audio worker, and always behind it when the machine has too much to do."""

from __future__ import annotations

import gc
import select
import sys
import time
import traceback

import msgspec

from .. import process
from ..process import FAILURES, Link
from ..protocol import Trouble
from ..protocol_video import VideoReport, unpack_video_command
from .beat import SLOT, VideoBeat

NICE = 5
"""Above the others' 0, far above the audio worker's -10: a picture that comes late is seen by few, a voice that does is
heard by all."""
CATCH_UP = 8
"""Beats that may be made up for at once; beyond that they are left out: pictures are drawn for now, not for then."""
IDLE = 0.1
"""Seconds between beats when there are no streams at all; commands and datagrams are not waited for so long."""
COLLECT = 3.0
"""Seconds between collections of what reference counts leave."""


def run(link: Link) -> int:
    """Serve one control process; returns the exit status."""

    def emit(event: msgspec.Struct) -> None:
        link.send(event, spare=isinstance(event, VideoReport))

    return process.serve(link, NICE, lambda begin, fds: VideoBeat(begin, emit, time.monotonic(), fds), _keep)


def _keep(beat: VideoBeat, link: Link, early: list[bytes]) -> None:
    poll = select.poll()
    for fd in (link.fileno(), *beat.waits_for()):
        poll.register(fd, select.POLLIN)
    due, failures, collected, collections = time.monotonic(), 0, time.monotonic(), 0
    running = _obey(beat, link, early)
    while running and link.open:
        now = time.monotonic()
        if now < due:
            ready = poll.poll(1000 * (due - now))
            if any(fd == link.fileno() for fd, _ in ready):
                running = _obey(beat, link, link.commands())
                due = min(due, time.monotonic() + SLOT)
            elif ready:
                beat.crew.collect()
            continue
        if now - due > CATCH_UP * SLOT:
            due = now
        try:
            beat.run(now, time.time())
        except Exception:
            # One beat is lost, not the calls; but where it goes on, a fresh process is told everything again.
            failures += 1
            link.send(Trouble(reason=f"a video beat failed: {traceback.format_exc(limit=-3)}"))
            if failures >= FAILURES:
                raise
        due += IDLE if beat.idle() else SLOT
        link.flush()
        if now - collected > COLLECT and time.monotonic() < due:
            collected = now
            collections += 1
            gc.collect(1 if collections % 20 else 2)


def _obey(beat: VideoBeat, link: Link, messages: list[bytes]) -> bool:
    """Carry commands out, and say at once what came of them; false when told to stop."""
    running = link.obey(beat, messages)
    if running:
        link.flush()
    return running


def main() -> int:
    """``python -m bridge.worker.video.process FD``: FD is our end of control's socket pair."""
    process.keep_memory()
    return run(process.link_from(sys.argv, unpack_video_command))


if __name__ == "__main__":
    sys.exit(main())
