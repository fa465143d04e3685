// What to do when the network fails in mid-call: a decision, from what is known and the time; no clock, no socket in here.

const AGAIN = 3000; // ms that one attempt has before the next
const RESTARTS = 2; // attempts to keep the call before it is placed anew
const SHOWN = 800; // ms of trouble that nobody need hear of
const PATIENCE = 120000; // ms: who is away for longer presses a button

/**
 * `decide(now, {wire, live, media, lost})` returns what to do now: "restart" (ICE, in the same call), "recall" (a new call),
 * "reopen" (both sockets), "give-up", or null. `wire`: whether SIP's socket is up; `live`: whether the room's is;
 * `media`: RTCPeerConnection's state; `lost`: whether the call ended without anybody's wish.
 */
export class Recovery {
  #since = null;
  #last = -Infinity;
  #restarts = 0;
  #reopened = false;

  /** Whether the person should know. */
  troubled(now) {
    return this.#since !== null && now - this.#since >= SHOWN;
  }

  decide(now, { wire, live, media, lost }) {
    const sound = !lost && (media === "connected" || media === "new" || media === "connecting");
    if (sound && wire) {
      // The room's socket opens again by itself; but its silence is the first that one hears of a dead network.
      this.#since = live ? null : (this.#since ?? now);
      this.#restarts = 0;
      this.#reopened = false;
      this.#last = -Infinity;
      return null;
    }
    this.#since ??= now;
    if (now - this.#since > PATIENCE) return "give-up";
    if (!wire || now - this.#last < AGAIN) return null;
    if (!live && !this.#reopened) {
      this.#reopened = true; // SIP's socket is as dead, though nobody told it
      return "reopen";
    }
    this.#last = now;
    if (lost || media === "closed" || this.#restarts >= RESTARTS) return "recall";
    this.#restarts++;
    return "restart";
  }
}
