// The checks of the connection test: each returns `{state: "good"|"fair"|"bad"|"skipped", words}`.
import { about as askAbout, socketAddress } from "./door.js";
import { decimal, spoken, t } from "./i18n.js";
import { canCapture, Devices } from "./media.js";
import { Phone } from "./signalling.js";
import { Meter } from "./sound.js";

const PATIENCE = 8000; // ms for a socket or a call: ICE has tried all by then
const LISTENED = 2500; // ms
const LOUD = 0.15; // of the meter: more than a muted microphone's noise
const PICTURE = 1.5; // Mbit/s of a good picture with sound
const VOICE = 0.3;
const LOADED = 2500; // ms of loading at most
const FILE = "/client/vendor/jssip.min.js";

const found = (state, key, fields) => ({ state, words: t(key, fields) });
const within = (milliseconds, promise) =>
  Promise.race([promise, new Promise((_, fail) => setTimeout(() => fail(new Error("late")), milliseconds))]);

/** What the checks need to know of the server: from the room, if one came from there. */
export async function place(room, token) {
  const here = { room, socket: "/sip", sip: `sip:test@${location.hostname}`, ice_servers: [] };
  const known = room ? await askAbout(room, token).catch(() => ({})) : {};
  const domain = /@([^;>]+)/.exec(known.sip ?? here.sip)[1];
  return { ...here, ...known, test: known.test ?? `sip:test@${domain}`, domain };
}

function browser() {
  if (!globalThis.RTCPeerConnection || !globalThis.WebSocket) return found("bad", "test.browser.bad");
  if (!globalThis.isSecureContext || !canCapture()) return found("bad", "test.browser.insecure");
  return found("good", "test.browser.good");
}

async function captured(kind, measure) {
  const devices = new Devices();
  if (!canCapture()) return found("bad", `test.${kind}.refused`);
  await devices.start(kind);
  const track = devices[kind];
  if (!track) {
    const state = devices[`${kind}State`];
    return found(state === "missing" ? "fair" : "bad", `test.${kind}.${state}`);
  }
  const name = track.label || t(`device.${kind}`);
  const seen = await measure(track);
  devices.closeAll();
  return found(seen ? "good" : "fair", `test.${kind}.${seen ? "good" : "fair"}`, { name, ...seen });
}

const microphone = () =>
  captured("microphone", async (track) => {
    let loudest = 0;
    const meter = new Meter(track, (level) => (loudest = Math.max(loudest, level)));
    const end = performance.now() + LISTENED;
    while (loudest < LOUD && performance.now() < end) await new Promise((go) => setTimeout(go, 100));
    meter.close();
    return loudest >= LOUD ? {} : null;
  });

const camera = () =>
  captured("camera", async (track) => {
    const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    video.srcObject = new MediaStream([track]);
    const shown = new Promise((ready) => video.addEventListener("loadeddata", ready, { once: true }));
    video.play().catch(() => {});
    await within(PATIENCE, shown).catch(() => {});
    return video.videoWidth ? { width: video.videoWidth, height: video.videoHeight } : null;
  });

/** A WebSocket that opens, and a SIP answer to OPTIONS on it, whatever it says. */
async function signalling({ socket, domain }) {
  const url = new URL(socketAddress(socket));
  const at = { host: url.hostname, port: url.port || (url.protocol === "wss:" ? 443 : 80) };
  const wire = new WebSocket(url, "sip");
  try {
    await within(PATIENCE, new Promise((open, fail) => Object.assign(wire, { onopen: open, onerror: fail })));
  } catch {
    return found("bad", "test.signalling.bad", at);
  }
  const token = () => crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  const began = performance.now();
  const answer = new Promise((heard) => (wire.onmessage = heard));
  wire.send(
    [
      `OPTIONS sip:${domain} SIP/2.0`,
      `Via: SIP/2.0/${url.protocol === "wss:" ? "WSS" : "WS"} ${token()}.invalid;branch=z9hG4bK${token()}`,
      "Max-Forwards: 70",
      `To: <sip:${domain}>`,
      `From: <sip:test@${domain}>;tag=${token()}`,
      `Call-ID: ${token()}${token()}`,
      "CSeq: 1 OPTIONS",
      "Content-Length: 0",
      "\r\n",
    ].join("\r\n"),
  );
  try {
    await within(PATIENCE, answer);
    return found("good", "test.signalling.good", { ms: decimal(performance.now() - began, 0) });
  } catch {
    return found("bad", "test.signalling.silent");
  } finally {
    wire.close();
  }
}

/** Media by one transport alone: a call to the test address whose answer loses the other's candidates. */
async function media(transport, { socket, test, ice_servers: iceServers }) {
  const phone = new Phone({ socket: socketAddress(socket), sip: test });
  phone.start();
  const options = { sip: test, name: t("test.title"), token: null, language: spoken(), iceServers, video: false };
  const tracks = { microphone: null, camera: null, content: null };
  const call = phone.call({ ...options, tracks, without: transport === "udp" ? "tcp" : "udp" });
  const ended = new Promise((over) => call.addEventListener("ended", ({ detail }) => over(detail)));
  const through = new Promise((over) =>
    call.addEventListener("media", ({ detail }) => detail === "connected" && over("connected")),
  );
  const unheard = new Promise((over) => setTimeout(() => over("late"), PATIENCE));
  const how = await Promise.race([ended, through, unheard]);
  const offered = call.offered.filter((one) => one.transport === transport);
  try {
    if (how === "connected") return found("good", `test.${transport}.good`, { ms: await roundTrip(call.connection) });
    if (how.how === "refused") return found("skipped", "test.media.noTest");
    if (call.offered.length && !offered.length) return found("skipped", "test.media.none");
    const where = offered.map(({ address, port }) => `${address}:${port}`).join(", ") || location.hostname;
    return found(transport === "udp" ? "bad" : "fair", `test.${transport}.bad`, { where });
  } finally {
    call.hangUp();
    setTimeout(() => phone.stop(), 500); // the BYE goes first
  }
}

async function roundTrip(connection) {
  await new Promise((go) => setTimeout(go, 600)); // the pair has been measured by then
  const reports = [...(await connection.getStats()).values()];
  const pair = reports.find((report) => report.type === "candidate-pair" && report.state === "succeeded");
  return decimal(1000 * (pair?.currentRoundTripTime ?? 0), 0);
}

async function bandwidth() {
  const began = performance.now();
  let bytes = 0;
  const load = async () => {
    while (performance.now() - began < LOADED) {
      const answer = await fetch(`${FILE}?${Math.random()}`, { cache: "no-store" });
      bytes += (await answer.arrayBuffer()).byteLength;
    }
  };
  try {
    await within(LOADED + PATIENCE, Promise.all([load(), load()]));
  } catch {
    if (!bytes) return found("fair", "test.bandwidth.failed");
  }
  const rate = (8 * bytes) / (1000 * (performance.now() - began));
  const state = rate >= PICTURE ? "good" : rate >= VOICE ? "fair" : "bad";
  return found(state, `test.bandwidth.${state}`, { down: decimal(rate, rate < 10 ? 1 : 0) });
}

export const CHECKS = {
  browser,
  microphone,
  camera,
  signalling,
  udp: (where) => media("udp", where),
  tcp: (where) => media("tcp", where),
  bandwidth,
};
