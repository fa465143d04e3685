// What the server says of a room before anybody calls it, and the access code of one that asks for it.

/** The server said no. `status` is HTTP's; `code` and `message` are its own words. */
export class Refusal extends Error {
  constructor(status, { code = "", message = "" } = {}) {
    super(message || `HTTP ${status}`);
    Object.assign(this, { status, code });
  }
}

const place = (room) => `/r/${encodeURIComponent(room)}`;

async function asked(request) {
  const answer = await request.catch(() => {
    throw new Refusal(0, { code: "unreachable" });
  });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  throw new Refusal(answer.status, typeof body.detail === "object" ? (body.detail ?? {}) : {});
}

/** `{room, title, sip, socket, live, pin, lobby, role, language, ice_servers, video, present, name}` */
export function about(room, token) {
  const query = token ? `?t=${encodeURIComponent(token)}` : "";
  return asked(fetch(`${place(room)}/about${query}`, { cache: "no-store" }));
}

/** `{token, role}` for the right code. */
export function tryPin(room, pin) {
  const headers = { "Content-Type": "application/json" };
  return asked(fetch(`${place(room)}/pin`, { method: "POST", headers, body: JSON.stringify({ pin }) }));
}

/** A WebSocket's address on this server. */
export function socketAddress(path) {
  const address = new URL(path, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}

/** The page that tests the connection, with the room that one comes from. */
export function testAddress(room) {
  const query = new URLSearchParams(location.search);
  if (room) query.set("room", room);
  return `/client/test.html?${query}`;
}

/** The room of this page's address, `/r/ROOM`; "" elsewhere. */
export const roomHere = () => /^\/r\/([^/]+)/.exec(location.pathname)?.[1] ?? "";
