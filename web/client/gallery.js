// The gallery: who is on which page of it, which of the call's tiles shows whom, and what the server is told of that.
import { t } from "./i18n.js";
import { Model } from "./model.js";

/** What is shown in the room, among the people. */
export const CONTENT = "content";
const WAITS = 150; // ms: windows are resized, and rooms entered, in many steps
const TALLEST = 8192; // px that the server takes

/**
 * `on`: it is what one sees. `cells`: whom this page shows, `{key, one, content}`, the large one first if `chosen`. `page`
 * of `pages`. `pinned`: a participant, or null. `pictures`: tracks by key, of those whose picture there is.
 */
export class Gallery extends Model {
  #limit;
  #room;
  #tell;
  #call = null;
  #order = [];
  #spoke = new Map();
  #tiles = new Map(); // key -> mid
  #heights = new Map();
  #size;
  #timer;
  #said = "";
  #asking = false;
  #used = false; // in this call

  /** `limit`: tiles that the server has for a call; 0: there is no gallery. */
  constructor({ limit, room, tell }) {
    super({ on: false, cells: [], chosen: false, page: 0, pages: 1, pinned: null, pictures: new Map() });
    [this.#limit, this.#room, this.#tell, this.#size] = [limit, room, tell, limit];
    room.watch(["participants", "speaker", "presenting"], () => this.#seat());
    room.watch(["shows"], () => this.#pictures());
    room.watch(["unshown"], ({ unshown }) => unshown?.code === "no-tiles" && this.#fail());
    addEventListener("visibilitychange", this.#soon);
  }

  get able() {
    return this.#limit > 0;
  }

  /** `call` is the one in force: its tiles are to be asked for, and the server told, anew. */
  follow(call) {
    this.#call = call;
    this.#used = false;
    this.again();
  }

  /** The server may have forgotten. */
  again() {
    this.#said = "";
    this.#soon();
  }

  close() {
    clearTimeout(this.#timer);
    removeEventListener("visibilitychange", this.#soon);
  }

  show(on) {
    if (!this.able || on === this.on) return;
    this.set({ on });
    this.#tell(t(on ? "news.gallery" : "news.composed"), { quiet: true });
    this.#seat();
  }

  pin(id) {
    this.set({ pinned: this.pinned === id ? null : id, page: 0 });
    this.#seat();
  }

  turn(by) {
    this.set({ page: Math.min(this.pages - 1, Math.max(0, this.page + by)) });
    this.#seat();
  }

  /** That many find place on a page, as it is laid out, and so high in pixels is each of them (by key). */
  laid(size, heights) {
    this.#heights = heights;
    const before = this.#size;
    this.#size = Math.max(1, Math.min(this.#limit, size));
    if (this.#size !== before) this.#seat();
    this.#soon();
  }

  /** Those that come go to the end, those with pictures first; who speaks is moved to the first page, and stays. */
  #seat() {
    const people = new Map(this.#room.participants.filter((one) => !one.you && !one.waiting).map((one) => [one.id, one]));
    const known = this.#order.filter((id) => people.has(id));
    const fresh = [...people.values()].filter(({ id }) => !known.includes(id));
    this.#order = [...known, ...fresh.sort((a, b) => Number(b.video) - Number(a.video)).map(({ id }) => id)];
    const { presenting, you, speaker } = this.#room;
    const content = presenting !== null && presenting !== you;
    const size = Math.max(1, this.#size - Number(content));
    this.#promote(speaker, size);
    const pinned = people.has(this.pinned) ? this.pinned : null;
    const order = pinned === null ? this.#order : [pinned, ...this.#order.filter((id) => id !== pinned)];
    const pages = Math.max(1, Math.ceil(order.length / size));
    const page = Math.min(this.page, pages - 1);
    const cells = order.slice(page * size, (page + 1) * size).map((id) => ({ key: id, one: people.get(id) }));
    if (content) cells.unshift({ key: CONTENT, one: people.get(presenting) ?? { name: "" }, content: true });
    this.set({ cells, chosen: content || (pinned !== null && page === 0), page, pages, pinned });
    this.#soon();
  }

  #promote(speaker, size) {
    const place = this.#order.indexOf(speaker);
    if (place < 0) return;
    this.#spoke.set(speaker, performance.now());
    if (place < size) return;
    const last = (id) => this.#spoke.get(id) ?? 0;
    const quietest = this.#order.slice(0, size).reduceRight((a, b) => (last(b) < last(a) ? b : a));
    const other = this.#order.indexOf(quietest);
    [this.#order[other], this.#order[place]] = [speaker, quietest];
  }

  #soon = () => {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), WAITS);
  };

  /** Have the tiles, deal them out, tell the server. */
  async #ask() {
    const call = this.#call;
    this.#used ||= this.on;
    if (!call?.established || !this.#used) return;
    if (this.#asking) return this.#soon();
    const wanted = this.on ? this.cells.filter(({ one, content }) => content || one.video) : [];
    this.#asking = true;
    try {
      await call.receiveTiles(wanted.length);
    } catch (error) {
      if (error.status && call === this.#call) return this.#fail(); // else the network: `follow` or `again` will come
      return;
    } finally {
      this.#asking = false;
    }
    if (call !== this.#call) return this.#soon();
    if (wanted.length && !call.tiles.length) return this.#fail();
    this.#deal(wanted.map(({ key }) => key), call.tiles.map(({ mid }) => mid));
    this.#say();
    this.#pictures();
  }

  /** Who has a tile keeps it. */
  #deal(keys, mids) {
    const kept = [...this.#tiles].filter(([key, mid]) => keys.includes(key) && mids.includes(mid));
    this.#tiles = new Map(kept);
    const free = mids.filter((mid) => !kept.some(([, used]) => used === mid));
    for (const key of keys) if (!this.#tiles.has(key) && free.length) this.#tiles.set(key, free.shift());
  }

  #say() {
    const scale = globalThis.devicePixelRatio || 1;
    const tiles = [...this.#tiles].map(([key, mid]) => ({
      mid,
      participant: key === CONTENT ? 0 : key,
      height: Math.min(TALLEST, Math.round((this.#heights.get(key) ?? 0) * scale)),
      paused: document.hidden,
      content: key === CONTENT,
    }));
    const said = { tiles, composed: !this.on };
    const text = JSON.stringify(said);
    if (text !== this.#said && this.#room.send("tiles", said, { quiet: true })) this.#said = text;
  }

  /** A tile is seen once the server says that it shows whom it is for: until then it holds somebody else's picture. */
  #pictures() {
    const tracks = new Map((this.#call?.tiles ?? []).map(({ mid, track }) => [mid, track]));
    const { shows } = this.#room;
    const seen = [...this.#tiles].filter(([key, mid]) => tracks.has(mid) && (key === CONTENT ? shows[mid] : shows[mid] === key));
    this.set({ pictures: new Map(seen.map(([key, mid]) => [key, tracks.get(mid)])) });
  }

  #fail() {
    this.#limit = 0;
    if (!this.on) return;
    this.set({ on: false, cells: [] });
    this.#tell(t("news.noGallery"), { urgent: true, kind: "warning" });
    this.#tiles.clear();
    this.#say();
  }
}
