"""A WHIP or WHEP client made of GStreamer's webrtcbin, for Debian's own Python: ``gstreamer.py whip|whep URL SECONDS
[FOLDER]``. It publishes a tone of 600 Hz and a blue picture; of what it plays it leaves sound.raw (mono, 16 bits, 48
kHz) and picture.raw (RGB, the last one) with picture.txt (its width and height)."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path
from typing import Any

import gi  # type: ignore[import-not-found,unused-ignore]

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # type: ignore[import-not-found,unused-ignore] # noqa: E402

CONNECT = 20
"""Seconds for gathering and the answer."""
SEND = """
webrtcbin name=peer bundle-policy=max-bundle
audiotestsrc is-live=true freq=600 volume=0.5 ! audio/x-raw,rate=48000,channels=1 ! opusenc ! rtpopuspay pt=111
 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000 ! peer.
videotestsrc is-live=true pattern=blue ! video/x-raw,width=640,height=360,framerate=15/1 ! videoconvert
 ! vp8enc deadline=1 keyframe-max-dist=60 ! rtpvp8pay pt=96 picture-id-mode=15-bit
 ! application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000 ! peer.
"""
TAKE = {
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000",
    "video": "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000",
}


class Client:
    def __init__(self, kind: str, url: str, folder: str) -> None:
        self.kind, self.url, self.folder = kind, url, Path(folder)
        self.loop, self.where = GLib.MainLoop(), ""
        self.pipeline = Gst.parse_launch(SEND) if kind == "whip" else Gst.Pipeline.new(None)
        if kind == "whep":
            self.pipeline.add(Gst.parse_launch("webrtcbin name=peer bundle-policy=max-bundle"))
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        self.peer.connect("pad-added", self.came)
        self.peer.connect("on-negotiation-needed", self.begin)

    def run(self, seconds: float) -> None:
        way = GstWebRTC.WebRTCRTPTransceiverDirection
        if self.kind == "whep":
            for caps in TAKE.values():
                self.peer.emit("add-transceiver", way.RECVONLY, Gst.Caps.from_string(caps))
        self.pipeline.set_state(Gst.State.PLAYING)
        for number in range(2) if self.kind == "whip" else ():
            self.peer.emit("get-transceiver", number).set_property("direction", way.SENDONLY)
        GLib.timeout_add(int(1000 * seconds), self.loop.quit)
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        if not self.where:
            sys.exit("no session began")
        urllib.request.urlopen(urllib.request.Request(self.where, method="DELETE"), timeout=CONNECT).close()

    def begin(self, _peer: Any) -> None:
        self.peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered))

    def offered(self, promise: Any) -> None:
        reply = promise.get_reply()  # what it has goes with it
        self.peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def gathered(self, _peer: Any, _property: Any) -> None:
        if self.peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post)

    def post(self) -> bool:
        description = self.peer.get_property("local-description")
        offer = description.sdp.as_text().encode()
        request = urllib.request.Request(self.url, offer, {"Content-Type": "application/sdp"})
        with urllib.request.urlopen(request, timeout=CONNECT) as answer:
            text, where = answer.read(), answer.headers["Location"]
        self.where = "/".join(self.url.split("/")[:3]) + where
        _, message = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(text, message)
        answered = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.peer.emit("set-remote-description", answered, Gst.Promise.new())
        return False

    def came(self, _peer: Any, pad: Any) -> None:
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        if kind == "audio":
            text = f"""rtpopusdepay ! opusdec ! audioconvert ! audioresample
                ! audio/x-raw,format=S16LE,channels=1,rate=48000 ! filesink location={self.folder / "sound.raw"}"""
        else:
            text = """rtpvp8depay ! vp8dec ! videoconvert ! video/x-raw,format=RGB
                ! appsink name=seen emit-signals=true sync=false max-buffers=2 drop=true"""
        sink = Gst.parse_bin_from_description(text, True)
        self.pipeline.add(sink)
        if kind == "video":
            sink.get_by_name("seen").connect("new-sample", self.seen)
        sink.sync_state_with_parent()
        pad.link(sink.sinkpads[0])

    def seen(self, sink: Any) -> Any:
        sample = sink.emit("pull-sample")
        shape, buffer = sample.get_caps().get_structure(0), sample.get_buffer()
        (self.folder / "picture.raw").write_bytes(buffer.extract_dup(0, buffer.get_size()))
        (self.folder / "picture.txt").write_text(f"{shape.get_value('width')} {shape.get_value('height')}")
        return Gst.FlowReturn.OK


if __name__ == "__main__":
    Gst.init(None)
    _, kind, url, seconds, *folder = sys.argv
    Client(kind, url, *(folder or ["."])).run(float(seconds))
