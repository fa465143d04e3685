// Stands in for the bridge's SIP and media: answers every call with a drawn "composed" picture and a tone of 700 Hz.
// window.calls says what it was sent, for the tests.
window.calls = [];
const PEOPLE = ["Marie Tremblay", "Olivier Gagné", "Salle 4 – Québec", "Anaïs Roy"];
const canvas = document.getElementById("canvas");
const pen = canvas.getContext("2d");

function person(x, y, width, height, hue, name) {
  const light = pen.createLinearGradient(x, y, x, y + height);
  light.addColorStop(0, `hsl(${hue} 22% 42%)`);
  light.addColorStop(1, `hsl(${hue} 26% 20%)`);
  pen.fillStyle = light;
  pen.fillRect(x, y, width, height);
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  const middle = x + width / 2;
  pen.fillStyle = `hsl(${hue} 30% 26%)`;
  pen.beginPath();
  pen.ellipse(middle, y + height * 1.05, height * 0.48, height * 0.42, 0, 0, 7);
  pen.fill();
  pen.fillStyle = "hsl(25 38% 68%)";
  pen.beginPath();
  pen.arc(middle, y + height * 0.42, height * 0.19, 0, 7);
  pen.fill();
  pen.restore();
  const size = Math.max(15, height * 0.045);
  pen.font = `600 ${size}px sans-serif`;
  pen.fillStyle = "rgb(8 14 20 / 85%)";
  pen.fillRect(x + 10, y + height - size * 2.1, pen.measureText(name).width + size, size * 1.6);
  pen.fillStyle = "#fff";
  pen.fillText(name, x + 10 + size / 2, y + height - size);
}

let frame = 0;
setInterval(() => {
  person(0, 0, 956, 720, 205, PEOPLE[0]);
  PEOPLE.slice(1).forEach((name, index) => person(960, index * 241, 320, 238, 30 + index * 70, name));
  pen.fillStyle = `rgb(${(frame++ * 8) % 200} 200 0)`; // the proof that it is this picture, and that it moves
  pen.fillRect(0, 0, 80, 45);
}, 80);

const sound = new AudioContext();
const out = sound.createMediaStreamDestination();
const tone = new OscillatorNode(sound, { frequency: 700 });
tone.connect(new GainNode(sound, { gain: 0.1 })).connect(out);
tone.start();
const stream = new MediaStream([...canvas.captureStream(12).getTracks(), ...out.stream.getTracks()]);

/** Pictures go out by every line in which the page receives some. Given to JsSIP they'd miss those with layers (RFC 8829 §5.10). */
function pictures(connection) {
  if (connection.signalingState !== "have-remote-offer") return;
  const lines = connection.remoteDescription.sdp.split(/^(?=m=)/m).filter((one) => one.startsWith("m=video"));
  for (const line of connection.getTransceivers()) {
    const offer = lines.find((one) => one.includes(`a=mid:${line.mid}\r`));
    const direction = /^a=(sendrecv|recvonly)\r/m.exec(offer ?? "")?.[1];
    if (!direction) continue;
    line.sender.replaceTrack(stream.getVideoTracks()[0]);
    line.direction = direction === "sendrecv" ? direction : "sendonly";
  }
}

const REFUSED = { full: 503, declined: 603, gone: 404, media: 488 };
const agent = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(`ws://${location.host}/sip?bridge`)],
  uri: "sip:bridge@bridge.invalid",
  register: false,
});
agent.on("connected", () => (window.ready = true));
agent.on("newRTCSession", ({ session, request, originator }) => {
  if (originator !== "remote") return;
  const room = request.to.uri.user;
  const call = { room, session, id: request.call_id, name: request.from.display_name, token: request.getHeader("authorization") ?? null, offers: [request.body], ended: false, frames: {} };
  window.calls.push(call);
  if (room in REFUSED) return session.terminate({ status_code: REFUSED[room] });
  session.on("reinvite", (event) => {
    if (!window.refusing) return call.offers.push(event.request.body);
    event.reject({ status_code: window.refusing });
  });
  for (const event of ["ended", "failed"]) session.on(event, () => (call.ended = true));
  session.on("peerconnection", ({ peerconnection }) => {
    call.connection = peerconnection;
    peerconnection.addEventListener("signalingstatechange", () => pictures(peerconnection));
  });
  session.answer({ mediaStream: new MediaStream(stream.getAudioTracks()), pcConfig: { bundlePolicy: "max-bundle" } });
  call.connection = session.connection;
});
agent.start();

/** What is received in a call, by m-line: `{mid: framesDecoded}` or packets of sound. */
window.received = async (index) => {
  const found = {};
  for (const report of (await window.calls[index].connection.getStats()).values())
    if (report.type === "inbound-rtp") found[report.mid] = report.framesDecoded ?? report.packetsReceived;
  return found;
};
window.direction = (index, mid) => window.calls[index].connection.getTransceivers().find((one) => one.mid === mid)?.currentDirection;

/** Before each test: no call, no refusals. */
window.reset = () => {
  for (const { session } of window.calls) if (!session.isEnded()) session.terminate();
  window.calls.length = 0;
  window.refusing = 0;
};
