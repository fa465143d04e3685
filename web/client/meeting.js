// One person's presence in the room: the call, the room's socket beside it, what this device sends, and coming back.
import { socketAddress } from "./door.js";
import { Gallery } from "./gallery.js";
import { spoken, t } from "./i18n.js";
import { Live } from "./live.js";
import { canShare } from "./media.js";
import { Model } from "./model.js";
import { note } from "./memory.js";
import { Downwards, grade } from "./quality.js";
import { Recovery } from "./recovery.js";

const TICK = 250; // ms: decides within a third of the 3 s that a recovery may take
const SETTLES = 800; // ms
const REACHED = 10000; // ms for SIP's socket, which has been opening since the page was loaded
const TRIES = 2; // more, where the network fails before the first answer
/** JsSIP's cause where ICE found no way. */
const SILENT = "RTP Timeout";
const MEASURED = 2000; // ms, as often as the server says its side
/** Answers of a server that may take us back in a moment, after a call that was there already. */
const PASSING = new Set([408, 480, 500, 503, 504]);

/**
 * `phase`: calling, lobby, room or over. `over`: `{how, status, reason}`. `microphoneOn`, `cameraOn`: what the person wants.
 * `sharing`, `troubled` (the network), `quality` (a word), `down` (what it is made of), `stream`, `heldByHost`.
 */
export class Meeting extends Model {
  #about;
  #phone;
  #token;
  #room;
  #devices;
  #tell;
  #call = null;
  #live = null;
  #recovery = new Recovery();
  #timers = [];
  #lost = false;
  #owed = false;
  #tries = 0;
  #named = null; // the Call-ID by which the room's socket knows us
  #connected = false;
  #downwards = new Downwards();
  #unwatch = [];

  constructor({ about, phone, token, name, room, devices, microphoneOn, cameraOn, tell }) {
    super({ phase: "calling", over: null, microphoneOn, cameraOn, sharing: false, troubled: false, quality: "unknown" });
    Object.assign(this, { down: null, stream: null, heldByHost: false, name });
    [this.#about, this.#phone, this.#token, this.#room] = [about, phone, token, room];
    [this.#devices, this.#tell] = [devices, tell];
    this.gallery = new Gallery({ limit: about.video ? (about.tiles ?? 0) : 0, room, tell });
  }

  get canShare() {
    return canShare() && this.#about.present !== false && this.#about.video;
  }

  get hasVideo() {
    return this.#about.video;
  }

  /** Call; again, if the network failed before anybody answered. */
  async start() {
    if (!(await this.#phone.ready(REACHED))) return this.#end({ how: "unreachable" });
    if (this.phase === "over") return; // the person did not wait
    this.#place();
    if (!this.#timers.length) this.#attend();
  }

  #attend() {
    this.#timers = [setInterval(() => this.#tick(), TICK), setInterval(() => this.#measure(), MEASURED)];
    this.#unwatch = [
      this.#devices.watch(["microphone"], () => this.#follow("microphone")),
      this.#devices.watch(["camera"], () => this.#follow("camera")),
      this.#room.watch(["participants"], () => this.set({ heldByHost: Boolean(this.#room.me?.muted_by_host) })),
      this.#room.watch(["place"], () => this.#moved()),
      this.watch(["microphoneOn", "heldByHost"], () => this.#voice()),
    ];
    addEventListener("online", this.#online);
    addEventListener("pagehide", this.#hide);
  }

  async toggleMicrophone() {
    const on = !this.microphoneOn;
    if (on && !this.#devices.microphone && !(await this.#devices.start("microphone"))) {
      this.#tell(t(`device.microphone.${this.#devices.microphoneState}`), { urgent: true, kind: "warning" });
      return;
    }
    this.set({ microphoneOn: on });
    this.#tell(t(!on ? "news.muted" : this.heldByHost ? "news.heldByHost" : "news.unmuted"), { quiet: true });
    this.#room.send("mute", { muted: !on });
  }

  async toggleCamera() {
    if (this.#devices.camera) {
      this.#devices.stop("camera");
      this.set({ cameraOn: false });
    } else if (await this.#devices.start("camera")) this.set({ cameraOn: true });
    else return this.#tell(t(`device.camera.${this.#devices.cameraState}`), { urgent: true, kind: "warning" });
    this.#tell(t(this.cameraOn ? "news.cameraOn" : "news.cameraOff"), { quiet: true });
  }

  async toggleShare() {
    if (this.sharing) return this.#unshare();
    let stream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false });
    } catch {
      return; // the person changed their mind
    }
    const [track] = stream.getVideoTracks();
    track.contentHint = "detail";
    track.addEventListener("ended", () => this.#unshare());
    try {
      await this.#call.share(track);
      this.set({ sharing: track });
      this.#tell(t("news.sharing"), { quiet: true }); // the banner is seen
    } catch (error) {
      track.stop();
      this.#tell(t(error.status ? "news.shareRefused" : "news.offline"), { urgent: true, kind: "warning" });
    }
  }

  toggleHand() {
    this.#room.send("hand", { up: !this.#room.me?.hand });
  }

  leave() {
    this.#end({ how: "left" });
  }

  /** For everybody. */
  endAll() {
    if (this.#room.send("end")) this.#end({ how: "ended-all" });
  }

  async #unshare() {
    const track = this.sharing;
    if (!track) return;
    track.stop();
    this.set({ sharing: false });
    this.#tell(t("news.shareEnded"), { kind: "screen" });
    await this.#call?.unshare().catch(() => {});
  }

  /** Call the room; again, if the call before was lost. */
  #place() {
    const before = this.#call;
    this.#call = null; // what becomes of it is nobody's concern
    if (before) this.#live?.rest(); // it would tell the end of that call
    before?.hangUp();
    this.#lost = false;
    const { sip, video, ice_servers: iceServers = [] } = this.#about;
    const { microphone, camera } = this.#devices;
    const tracks = { microphone, camera, content: this.sharing || null };
    const options = { sip, video, iceServers, tracks, name: this.name, token: this.#token, language: spoken() };
    const call = this.#phone.call(options);
    this.#call = call;
    const on = (type, see) => call.addEventListener(type, ({ detail }) => this.#call === call && see(detail));
    on("admitting", () => this.#listen());
    on("accepted", () => this.#listen(true));
    on("track", () => this.set({ stream: call.remote }));
    on("media", (state) => (this.#connected ||= state === "connected"));
    on("ended", (how) => this.#ended(how));
  }

  #listen(accepted = false) {
    if (accepted) {
      note(this.#about.room, { joined: Date.now() });
      this.#moved(true);
      this.#voice();
      this.gallery.follow(this.#call);
    }
    const known = this.#named;
    this.#named = this.#call.id;
    if (this.#live) {
      if (known !== this.#call.id) this.#live.reopen();
      return;
    }
    const hello = () => ({ call: this.#named, token: this.#token, language: spoken() });
    this.#live = new Live(socketAddress(this.#about.live), hello);
    this.#room.hear(this.#live);
    this.#live.addEventListener("up", ({ detail }) => {
      if (!detail) return;
      this.#room.send("mute", { muted: !this.microphoneOn });
      this.gallery.again();
    });
  }

  #moved(accepted = this.#call?.established) {
    if (this.phase === "over") return;
    if (this.#room.place === "ended") this.#end({ how: "ended" });
    else if (this.#room.place === "lobby") this.#wait();
    else if (accepted) this.set({ phase: "room" });
  }

  /** Who is in the room already is sent out only if it is still so in a moment: a call just accepted is not yet placed. */
  #wait() {
    if (this.phase === "calling") return this.set({ phase: "lobby" });
    setTimeout(() => {
      if (this.phase === "room" && this.#room.place === "lobby") this.set({ phase: "lobby" });
    }, SETTLES);
  }

  #ended(how) {
    const again = how.how === "lost" || (how.how === "refused" && PASSING.has(how.status));
    if (this.#connected && again) this.#lost = true;
    else if (how.how === "lost" && how.reason !== SILENT && this.#tries++ < TRIES) this.start();
    else this.#end(how.how === "lost" ? { ...how, how: how.reason === SILENT ? "no-media" : "unreachable" } : how);
  }

  #end(over) {
    if (this.phase === "over") return;
    for (const timer of this.#timers) clearInterval(timer);
    for (const stop of this.#unwatch) stop();
    removeEventListener("online", this.#online);
    removeEventListener("pagehide", this.#hide);
    if (this.sharing) this.sharing.stop();
    note(this.#about.room, { joined: 0 });
    const call = this.#call;
    this.#call = null; // that it ends is no news any more
    call?.hangUp();
    this.#live?.close();
    this.gallery.close();
    this.set({ phase: "over", over, sharing: false });
  }

  /** The track that is open now is what the room gets. */
  #follow(kind) {
    const track = this.#devices[kind];
    this.#voice();
    if (!this.#call?.connection) return;
    const told = kind === "camera" ? this.#call.setCamera(track) : this.#call.setMicrophone(track);
    told.catch((error) => this.#untold(error));
  }

  /** An offer that nobody answered is made again when SIP's socket is back. */
  #untold({ status }) {
    this.#owed = status === 0;
  }

  #voice() {
    const { microphone } = this.#devices;
    if (microphone) microphone.enabled = this.microphoneOn && !this.heldByHost;
  }

  #online = () => {
    this.#live?.reopen();
    this.#phone.reconnect();
  };

  /** The page goes away, perhaps to come back (a reload): the room is told at once. */
  #hide = () => {
    const call = this.#call;
    this.#call = null;
    for (const timer of this.#timers) clearInterval(timer);
    this.#live?.close(); // what it would say of the end is not for us
    call?.hangUp();
  };

  #tick() {
    const now = performance.now();
    const media = this.#call.connection?.connectionState ?? "new";
    const known = { wire: this.#phone.connected, live: Boolean(this.#live?.fresh), media, lost: this.#lost };
    if (!this.#connected) return; // the call is still being placed: JsSIP's timers rule
    const todo = this.#recovery.decide(now, known);
    this.set({ troubled: this.#recovery.troubled(now) });
    if (known.wire && this.#owed && !todo) {
      this.#owed = false;
      this.#call.reoffer().catch((error) => this.#untold(error));
    }
    if (todo === "restart") this.#call.reoffer({ iceRestart: true }).catch(() => {});
    else if (todo === "recall") this.#place();
    else if (todo === "reopen") this.#online();
    else if (todo === "give-up") this.#end({ how: "lost" });
  }

  async #measure() {
    const { connection } = this.#call;
    if (!connection || connection.connectionState !== "connected") return;
    const down = await this.#downwards.read(connection);
    this.set({ down, quality: this.troubled ? "poor" : grade(down, this.#room.up) });
  }
}
