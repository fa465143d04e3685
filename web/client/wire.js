// The WebSocket under JsSIP (RFC 7118), as JsSIP wants its sockets; unlike its own, one that does not open is given up.

const FIRST = 10000; // ms that the first connection has
/** ms that later ones have at least, or three times what the first took: whole again 3 s after the network's return. */
const AGAIN = 1500;

export class Wire {
  onconnect = () => {};
  ondisconnect = () => {};
  ondata = () => {};
  #socket = null;
  #timer;
  #opens = FIRST;

  constructor(url) {
    const { host, protocol } = new URL(url);
    this.url = url;
    this.via_transport = protocol === "wss:" ? "WSS" : "WS";
    this.sip_uri = `sip:${host};transport=ws`;
  }

  connect() {
    if (this.#socket) return;
    const socket = new WebSocket(this.url, "sip");
    socket.binaryType = "arraybuffer";
    const began = performance.now();
    socket.onopen = () => {
      clearTimeout(this.#timer);
      this.#opens = Math.max(AGAIN, 3 * (performance.now() - began));
      this.onconnect();
    };
    socket.onmessage = ({ data }) => this.ondata(data);
    socket.onclose = ({ wasClean, code, reason }) => this.#gone(socket, !wasClean, code, reason);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.drop(), this.#opens);
  }

  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(message);
    return true;
  }

  isConnected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  isConnecting() {
    return this.#socket?.readyState === WebSocket.CONNECTING;
  }

  /** JsSIP is done with it. */
  disconnect() {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#timer);
    socket?.close();
  }

  /** It leads nowhere any more, though nobody has said so: JsSIP is told at once and connects again. */
  drop() {
    const socket = this.#socket;
    if (!socket) return;
    socket.close();
    this.#gone(socket, true, 1006, "dropped");
  }

  #gone(socket, error, code, reason) {
    if (this.#socket !== socket) return;
    this.#socket = null;
    clearTimeout(this.#timer);
    this.ondisconnect(error, code, reason);
  }
}
