// The room's socket: chat, hands, roster, levels, quality. Opens again by itself; what is silent for too long is dropped.

const PROTOCOL = "visiopont.room.1";
const AGAIN = [300, 700, 1500, 2000]; // ms; the last for ever: a call is to be whole again within 3 s
const FIRST = 10000; // ms that the first connection has
const LATER = 1500; // ms that others have at least, or three times what the first took
/** ms of silence after which a socket that used to speak (levels once a second) leads nowhere. */
const SILENCE = 3500;

/** Events are named by the messages' types (detail: the message), and `up` (detail: whether it is). */
export class Live extends EventTarget {
  up = false;
  #url;
  #hello;
  #socket = null;
  #tries = 0;
  #opens = FIRST;
  #timer;
  #watch;
  #heard = 0;
  #closed = false;

  /** `hello` returns the first message's fields: the Call-ID changes when the page had to call again. */
  constructor(url, hello) {
    super();
    this.#url = url;
    this.#hello = hello;
    this.#watch = setInterval(() => this.#listen(), 500);
    this.#open();
  }

  /** Whether it is open and was heard lately. */
  get fresh() {
    return this.up && (!this.#heard || performance.now() - this.#heard < SILENCE);
  }

  /** Whether it was sent. */
  send(message) {
    if (!this.up) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Closed until it is opened again. */
  rest() {
    this.#leave();
  }

  reopen() {
    if (this.#closed) return;
    this.#leave();
    this.#tries = 0;
    this.#open();
  }

  close() {
    this.#closed = true;
    clearInterval(this.#watch);
    this.#leave();
  }

  #open() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url, PROTOCOL);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(socket), this.#opens);
    const began = performance.now();
    socket.onopen = () => {
      clearTimeout(this.#timer);
      this.#opens = Math.max(LATER, 3 * (performance.now() - began));
      socket.send(JSON.stringify({ type: "hello", ...this.#hello() }));
    };
    socket.onmessage = ({ data }) => this.#hear(socket, data);
    socket.onclose = () => this.#lost(socket);
  }

  #hear(socket, data) {
    if (socket !== this.#socket) return;
    const message = JSON.parse(data);
    // Only what comes regularly tells silence from a room where nothing happens.
    if (this.#heard || message.type === "levels" || message.type === "quality") this.#heard = performance.now();
    if (message.type === "welcome") {
      this.#tries = 0;
      this.#set(true);
    }
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }

  #listen() {
    if (this.up && !this.fresh) this.#lost(this.#socket);
  }

  #lost(socket) {
    if (socket !== this.#socket || this.#closed) return;
    this.#leave();
    this.#timer = setTimeout(() => this.#open(), AGAIN[Math.min(this.#tries++, AGAIN.length - 1)]);
  }

  #leave() {
    const socket = this.#socket;
    this.#socket = null;
    this.#heard = 0;
    clearTimeout(this.#timer);
    socket?.close();
    this.#set(false);
  }

  #set(up) {
    if (this.up === up) return;
    this.up = up;
    this.dispatchEvent(new CustomEvent("up", { detail: up }));
  }
}
