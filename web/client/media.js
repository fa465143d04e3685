// Camera, microphone and loudspeaker of this device: asked for, opened, changed, lost.
import { Model } from "./model.js";

const SOUND = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const PICTURE = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const KINDS = {
  microphone: { input: "audioinput", constraint: "audio", wishes: SOUND },
  camera: { input: "videoinput", constraint: "video", wishes: PICTURE },
};
/** What getUserMedia's errors mean to the person. */
const TROUBLE = {
  NotAllowedError: "refused",
  SecurityError: "refused",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
};

export const canCapture = () => Boolean(navigator.mediaDevices?.getUserMedia);
export const canShare = () => Boolean(navigator.mediaDevices?.getDisplayMedia);
export const canChooseSpeaker = () => "setSinkId" in HTMLMediaElement.prototype;

/**
 * `microphone`, `camera`: the open track or null. `microphoneState`, `cameraState`: unasked, on, off, refused, missing
 * or busy. `microphoneId`, `cameraId`, `speakerId`: the chosen devices, "" for the system's own. `list`: MediaDeviceInfo
 * of all. Watchers see each change.
 */
export class Devices extends Model {
  constructor({ microphoneId = "", cameraId = "", speakerId = "" } = {}) {
    super({ microphone: null, camera: null, microphoneState: "unasked", cameraState: "unasked", list: [] });
    Object.assign(this, { microphoneId, cameraId, speakerId });
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.look());
  }

  of(input) {
    return this.list.filter((device) => device.kind === input && device.deviceId);
  }

  async look() {
    this.set({ list: (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [] });
  }

  /** granted, denied or prompt: the worse of both. Browsers that can't tell would prompt. */
  async permission() {
    const ask = (name) => navigator.permissions.query({ name }).then((found) => found.state);
    try {
      const states = await Promise.all(["microphone", "camera"].map(ask));
      return ["denied", "prompt"].find((state) => states.includes(state)) ?? "granted";
    } catch {
      return "prompt";
    }
  }

  /** Open what is wanted, in one question to the person; one at a time where both together fail. */
  async open({ microphone = true, camera = true } = {}) {
    const wanted = Object.entries({ microphone, camera }).filter(([, on]) => on);
    if (!canCapture()) {
      this.set({ microphoneState: "missing", cameraState: "missing" });
      return;
    }
    const constraints = Object.fromEntries(wanted.map(([kind]) => [KINDS[kind].constraint, this.#wishes(kind)]));
    try {
      const stream = await navigator.mediaDevices.getUserMedia(constraints);
      for (const track of stream.getTracks()) this.#take(track.kind === "audio" ? "microphone" : "camera", track);
    } catch (error) {
      if (wanted.length > 1 && (await this.permission()) !== "denied" && error.name !== "NotAllowedError")
        for (const [kind] of wanted) await this.start(kind);
      else for (const [kind] of wanted) this.set({ [`${kind}State`]: TROUBLE[error.name] ?? "busy" });
    }
    await this.look();
  }

  /** Open one; whether it is open then. */
  async start(kind) {
    try {
      const { constraint } = KINDS[kind];
      const stream = await navigator.mediaDevices.getUserMedia({ [constraint]: this.#wishes(kind) });
      this.#take(kind, stream.getTracks()[0]);
    } catch (error) {
      this.set({ [`${kind}State`]: TROUBLE[error?.name] ?? "busy" });
    }
    await this.look();
    return this[`${kind}State`] === "on";
  }

  /** Close one: a camera's light goes out. */
  stop(kind) {
    this[kind]?.stop();
    this.set({ [kind]: null, [`${kind}State`]: "off" });
  }

  /** Use another device; opened at once if the one before was. */
  async choose(kind, id) {
    this.set({ [`${kind}Id`]: id });
    if (kind !== "speaker" && this[kind]) await this.start(kind);
  }

  closeAll() {
    for (const kind of Object.keys(KINDS)) if (this[kind]) this.stop(kind);
  }

  #wishes(kind) {
    const id = this[`${kind}Id`];
    return { ...KINDS[kind].wishes, ...(id ? { deviceId: { ideal: id } } : {}) };
  }

  #take(kind, track) {
    const before = this[kind];
    track.addEventListener("ended", () => this[kind] === track && this.#lost(kind));
    this.set({ [kind]: track, [`${kind}State`]: "on", [`${kind}Id`]: track.getSettings().deviceId ?? "" });
    before?.stop();
  }

  /** Unplugged in mid-call: the system's own device takes over, if there is one. */
  async #lost(kind) {
    this.set({ [kind]: null, [`${kind}State`]: "missing", [`${kind}Id`]: "" });
    await this.start(kind);
  }
}
