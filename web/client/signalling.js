// Calls: JsSIP's user agent, one INVITE into the room, and re-INVITEs that do not end the call when they fail.
import { flattened, layered } from "./layers.js";
import { candidates, withContent, withoutCandidates } from "./sdp.js";
import { Wire } from "./wire.js";

/** JsSIP waits that long, in seconds, before it connects again. */
const AGAIN = { connection_recovery_min_interval: 1, connection_recovery_max_interval: 1 };
/** What JsSIP says when the network, not a person, ended a call; "Canceled" if that was not yet answered. */
const LOST = new Set(["Canceled", "Connection Error", "Request Timeout", "RTP Timeout", "Dialog Error", "Internal Error"]);
const GLARE = [2100, 4000]; // ms: RFC 3261 §14.1, for the owner of the Call-ID
const GLARES = 3;

/** A re-INVITE that was not accepted: `status` is SIP's, 0 if nobody answered. The call goes on as it was. */
export class NotAccepted extends Error {
  constructor(status, reason = "") {
    super(`${status} ${reason}`);
    this.status = status;
  }
}

/** Events: `wire` (detail: whether it is connected). */
export class Phone extends EventTarget {
  connected = false;
  #agent;
  #wire;

  constructor({ socket, sip }) {
    super();
    const { JsSIP } = globalThis;
    this.domain = JsSIP.URI.parse(sip).host;
    this.#wire = new Wire(socket);
    const user = `guest-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
    const uri = new JsSIP.URI("sip", user, this.domain).toString();
    this.#agent = new JsSIP.UA({ sockets: [this.#wire], uri, register: false, user_agent: "Visiopont page", ...AGAIN });
    for (const [event, connected] of [["connected", true], ["disconnected", false]])
      this.#agent.on(event, () => {
        this.connected = connected;
        this.dispatchEvent(new CustomEvent("wire", { detail: connected }));
      });
  }

  start() {
    this.#agent.start();
  }

  stop() {
    this.#agent.stop();
  }

  /** Whether it is connected, at the latest after `milliseconds`. */
  ready(milliseconds) {
    if (this.connected) return Promise.resolve(true);
    return new Promise((tell) => {
      this.addEventListener("wire", () => tell(true), { once: true });
      setTimeout(() => tell(this.connected), milliseconds);
    });
  }

  /** Connect again now: the network has changed under the connection. */
  reconnect() {
    this.#wire.drop();
  }

  call(options) {
    return new Call(this.#agent, options);
  }
}

/**
 * One call into the room. Events: `admitting` (the server has answered, not yet accepted), `accepted`, `media` (detail: the
 * RTCPeerConnection's state), `ended` (detail: `{how: "hung-up"|"refused"|"lost", status, reason}`).
 */
export class Call extends EventTarget {
  id = "";
  connection = null;
  remote = new MediaStream();
  /** Where the server takes media, `{transport, address, port}`. */
  offered = [];
  #session;
  #without;
  #turn = Promise.resolve();
  #sending = {};
  #tiles = [];

  /**
   * `sip` is whom to call; `token`, or null; `tracks` `{microphone, camera, content}`, each may be null: listen only;
   * `video`: whether the room has pictures; `without` a transport, "udp" or "tcp": for tests of the other alone.
   */
  constructor(agent, { sip, name, token, language, tracks, video, iceServers, without = null }) {
    super();
    this.#without = without;
    const headers = [`Accept-Language: ${language}`];
    if (token) headers.push(`Authorization: Bearer ${token}`);
    this.#session = agent.call(sip, {
      mediaConstraints: { audio: false, video: false },
      pcConfig: { iceServers, bundlePolicy: "max-bundle" },
      fromDisplayName: name,
      extraHeaders: headers,
      eventHandlers: {
        peerconnection: ({ peerconnection }) => this.#open(peerconnection, tracks, video),
        // The server is ICE-lite: it learns our addresses from our checks, so nothing is worth waiting for.
        icecandidate: ({ ready }) => ready(),
        sdp: (description) => this.#mark(description),
        sending: ({ request }) => (this.id = request.call_id),
        progress: () => this.#tell("admitting"),
        accepted: () => this.#tell("accepted"),
        failed: (event) => this.#end(event),
        ended: (event) => this.#end(event),
      },
    });
  }

  get established() {
    return this.#session.isEstablished();
  }

  /** Whether the room is offered our screen now. */
  get sharing() {
    return this.#sending.content?.sender.track ?? null;
  }

  /** The microphone's track, or null to only listen. */
  setMicrophone(track) {
    return this.#send("microphone", track);
  }

  /** The camera's track, or null: the room is told that there is no picture. */
  setCamera(track) {
    return this.#send("camera", track);
  }

  /** Show `track` as the room's presentation (RFC 4796 slides). Throws NotAccepted if the room won't have it. */
  async share(track) {
    try {
      await this.#send("content", track);
    } catch (error) {
      await this.#send("content", null).catch(() => {});
      throw error;
    }
  }

  unshare() {
    return this.#send("content", null);
  }

  /** Receivers of single people's pictures, `{mid, track}`, of which the server sends. */
  get tiles() {
    const open = this.#tiles.filter((tile) => tile.currentDirection === "recvonly");
    return open.map(({ mid, receiver }) => ({ mid, track: receiver.track }));
  }

  /** Have `count` of them, if the server has them; they stay. Throws NotAccepted. */
  async receiveTiles(count) {
    const missing = count - this.#tiles.length;
    if (missing <= 0 || !this.established) return;
    for (let each = 0; each < missing; each++)
      this.#tiles.push(this.connection.addTransceiver("video", { direction: "recvonly" }));
    try {
      await this.reoffer();
    } catch (error) {
      for (const tile of this.#tiles.splice(-missing)) tile.stop();
      throw error;
    }
  }

  /** A new offer; one after the other. `iceRestart`: over whatever network there is now (RFC 8445 §2.4). */
  reoffer({ iceRestart = false } = {}) {
    const turn = this.#turn.then(() => this.#offer(iceRestart));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  hangUp() {
    if (!this.#session.isEnded()) this.#session.terminate();
  }

  #open(connection, { microphone, camera, content }, video) {
    this.connection = connection;
    const add = (kind, track, more) =>
      connection.addTransceiver(track ?? kind, { direction: track ? "sendrecv" : "recvonly", streams: [this.remote], ...more });
    this.#sending.microphone = add("audio", microphone);
    if (video) this.#sending.camera = layered((more) => add("video", camera, more), camera);
    if (content) this.#sending.content = connection.addTransceiver(content, { direction: "sendonly" });
    const { microphone: voice, camera: picture } = this.#sending;
    connection.addEventListener("track", ({ track, transceiver }) => {
      if (transceiver === voice || transceiver === picture) this.#hear(track);
    });
    connection.addEventListener("signalingstatechange", () => connection.signalingState === "stable" && flattened(picture?.sender));
    connection.addEventListener("connectionstatechange", () => this.#tell("media", connection.connectionState));
  }

  #hear(track) {
    for (const old of this.remote.getTracks()) if (old.kind === track.kind) this.remote.removeTrack(old);
    this.remote.addTrack(track);
    this.#tell("track", track);
  }

  /** JsSIP's own offers, session refreshes too, keep the mark of our screen. */
  #mark(description) {
    if (description.originator === "local") description.sdp = withContent(description.sdp, this.#contentMid());
    else this.offered = candidates(description.sdp);
    if (description.originator === "remote" && this.#without)
      description.sdp = withoutCandidates(description.sdp, this.#without);
  }

  #contentMid() {
    return this.#sending.content?.mid ?? null;
  }

  async #send(what, track) {
    const media = this.#sending[what];
    const direction = { microphone: ["sendrecv", "recvonly"], camera: ["sendrecv", "recvonly"] }[what];
    const [on, off] = direction ?? ["sendonly", "inactive"];
    if (!media) {
      if (what !== "content" || !track) return;
      this.#sending.content = this.connection.addTransceiver(track, { direction: on });
    } else {
      await media.sender.replaceTrack(track);
      if (media.direction === (track ? on : off)) return;
      media.direction = track ? on : off;
    }
    if (this.established) await this.reoffer();
  }

  async #offer(iceRestart) {
    for (let glares = 0; ; glares++) {
      if (!this.established) throw new NotAccepted(0, "no call");
      const { connection } = this;
      await connection.setLocalDescription(await connection.createOffer({ iceRestart }));
      try {
        const answer = await this.#reinvite(withContent(connection.localDescription.sdp, this.#contentMid()));
        await connection.setRemoteDescription({ type: "answer", sdp: answer });
        return;
      } catch (error) {
        if (connection.signalingState === "have-local-offer") await connection.setLocalDescription({ type: "rollback" });
        if (error.status !== 491 || glares >= GLARES) throw error;
        await new Promise((go) => setTimeout(go, GLARE[0] + Math.random() * (GLARE[1] - GLARE[0])));
      }
    }
  }

  /** Its answer's SDP. JsSIP's renegotiate() would hang up where the server says no. */
  #reinvite(sdp) {
    const session = this.#session;
    const timer = session._sessionTimers;
    const headers = [`Contact: ${session.contact}`, "Content-Type: application/sdp"];
    if (timer.running)
      headers.push(`Session-Expires: ${timer.currentExpires};refresher=${timer.refresher ? "uac" : "uas"}`);
    return new Promise((accept, refuse) => {
      const failed = (status) => () => refuse(new NotAccepted(status));
      let answered = false;
      session.sendRequest("INVITE", {
        extraHeaders: headers,
        body: sdp,
        eventHandlers: {
          onSuccessResponse: (response) => {
            session.sendRequest("ACK");
            if (answered) return;
            answered = true;
            if (response.body) accept(response.body);
            else refuse(new NotAccepted(response.status_code, "no SDP"));
          },
          onErrorResponse: ({ status_code, reason_phrase }) => refuse(new NotAccepted(status_code, reason_phrase)),
          onTransportError: failed(0),
          onRequestTimeout: failed(0),
          onDialogError: failed(481),
        },
      });
    });
  }

  #end({ originator, message, cause }) {
    const status = message?.status_code ?? 0;
    const lost = !status && originator !== "remote" && LOST.has(cause);
    this.#tell("ended", { how: lost ? "lost" : status ? "refused" : "hung-up", status, reason: message?.reason_phrase ?? cause });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
