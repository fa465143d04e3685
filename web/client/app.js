// The page: which room, which view, from the link to the end of the call. `VIEWS` says what leads where.
import { about as askAbout, Refusal, roomHere, socketAddress, tryPin } from "./door.js";
import { announce } from "./dom.js";
import { preferred, speak, spoken, t } from "./i18n.js";
import { canCapture, Devices } from "./media.js";
import { Meeting } from "./meeting.js";
import { choices, choose, note, visit } from "./memory.js";
import { endNotice, refusalNotice, unsupportedNotice } from "./notices.js";
import { Room } from "./room.js";
import { Phone } from "./signalling.js";
import { callView } from "./views/call.js";
import { waitView } from "./views/lobby.js";
import { noticeView } from "./views/notice.js";
import { pinView } from "./views/pin.js";
import { prejoinView } from "./views/prejoin.js";

const RELOADED = 60000; // ms: who was in the room that lately goes straight back in
const place = document.getElementById("place");
const roomName = decodeURIComponent(roomHere());
const link = new URLSearchParams(location.search);

const known = choices();
const devices = new Devices(known);
let about = null;
let phone = null;
let meeting = null;
let token = link.get("t") ?? visit(roomName).token ?? null;
let view = null;
let again = () => {};
let tell = null;

/** Show a view; the focus goes to its heading, and the window says where one is. */
function show(make) {
  view?.close();
  again = () => show(make);
  view = make();
  place.replaceChildren(...view.element);
  const heading = place.querySelector("h1");
  document.title = [heading?.textContent, "Visiopont"].filter(Boolean).join(" – ");
  heading?.focus({ preventScroll: true });
}

const tools = {
  changeLanguage(code) {
    speak(code);
    choose({ language: code });
    again();
  },
};

/** News goes to the view that can show it, else only to readers. */
const news = (text, options) => (tell ? tell(text, options) : announce(text, options));

const notice = (made) => show(() => noticeView({ tools, ...made() }));

async function enter() {
  speak(known.language ?? preferred());
  if (!globalThis.RTCPeerConnection || !globalThis.WebSocket || !globalThis.JsSIP)
    return notice(() => unsupportedNotice());
  try {
    about = await askAbout(roomName, token);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 401 && !link.has("t") && token) {
      token = null; // one that was got for a PIN has expired
      note(roomName, { token });
      return enter();
    }
    return notice(() => refusalNotice(error, { retry: enter }));
  }
  if (!known.language) speak(preferred() ?? about.language);
  phone ??= new Phone({ socket: socketAddress(about.socket), sip: about.sip });
  phone.start(); // the socket is open by the time that Join is pressed
  if (about.pin && !about.role) return show(() => pinView({ tools, title: about.title || about.room, enter: offerPin }));
  const { joined = 0 } = visit(roomName);
  if (Date.now() - joined < RELOADED && known.name) return rejoin();
  return prejoin();
}

async function offerPin(pin) {
  try {
    const given = await tryPin(roomName, pin);
    token = given.token;
    note(roomName, { token });
    about = { ...about, ...(await askAbout(roomName, token)), role: given.role };
    prejoin();
    return null;
  } catch (error) {
    if (error.status === 403) return t("pin.wrong");
    if (error.status === 429) return t("pin.tooMany");
    return error.message || t("notice.unreachable.text");
  }
}

function prejoin() {
  const asHost = about.host_pin && about.role !== "host" ? hostPin : null;
  show(() => prejoinView({ tools, about, devices, join, asHost }));
}

function hostPin() {
  show(() => pinView({ tools, title: about.title || about.room, enter: offerPin, back: prejoin }));
}

/** After a reload: with the same devices, without asking again. */
async function rejoin() {
  const { microphoneOn = true, cameraOn = true, name } = choices();
  if (canCapture() && (await devices.permission()) === "granted")
    await devices.open({ camera: about.video && cameraOn });
  join({ name, microphoneOn: microphoneOn && Boolean(devices.microphone), cameraOn: Boolean(devices.camera) });
}

function join({ name, microphoneOn, cameraOn }) {
  const room = new Room(about, news);
  meeting = new Meeting({ about, phone, token, name, room, devices, microphoneOn, cameraOn, tell: news });
  const leave = () => meeting.leave();
  const title = about.title || about.room;
  const waiting = (lobby) => () => waitView({ tools, title, lobby, devices, leave });
  const views = {
    calling: waiting(false),
    lobby: waiting(true),
    room: () => callView({ meeting, room, devices, say: (speaker) => (tell = speaker) }),
  };
  meeting.watch(["phase"], ({ phase, over }) => {
    document.body.classList.toggle("in-call", phase === "room");
    if (phase === "over") return ended(over);
    return show(views[phase]);
  });
  meeting.watch(["microphoneOn"], (now) => choose({ microphoneOn: now.microphoneOn }));
  meeting.start();
}

function ended(over) {
  devices.closeAll();
  devices.set({ microphoneState: "unasked", cameraState: "unasked" });
  meeting = null;
  const back = () => enter();
  notice(() => endNotice(over, { title: about.title || about.room, back }));
}

addEventListener("pageshow", (event) => event.persisted && location.reload());
addEventListener("unhandledrejection", ({ reason }) => console.error(reason));

speak(known.language ?? preferred());
document.documentElement.classList.add("ready");
await enter();
document.documentElement.dataset.language = spoken();
