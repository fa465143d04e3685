// The room as its socket tells it: who is there, who speaks, what is written; and what of it is news to the person.
import { t } from "./i18n.js";
import { Model } from "./model.js";
import { upwards } from "./quality.js";

const KEPT = 200; // messages shown
const CROWD = 3; // who come or go together are named up to that many
const MANY = { "news.joined": "news.joined.many", "news.left": "news.left.many" };

/** `tell(text, {urgent, kind})` is called with what is news. */
export class Room extends Model {
  #tell;
  #live = null;
  #known = false;

  constructor({ title, role, lobby }, tell) {
    super({ you: null, role, title, participants: [], levels: {}, speaker: null, chat: [], unread: 0, chatOpen: false });
    Object.assign(this, { shows: {}, unshown: null });
    const state = { place: lobby && role !== "host" ? "lobby" : "room", locked: false, layout: null, layouts: [], presenting: null };
    Object.assign(this, state, { recording: false, up: null, connected: true });
    this.#tell = tell;
  }

  get me() {
    return this.participants.find((one) => one.you);
  }

  get host() {
    return this.role === "host";
  }

  name(id) {
    return this.participants.find((one) => one.id === id)?.name ?? "";
  }

  /** Whether it was sent; `quiet`: the person need not know. */
  send(type, fields = {}, { quiet = false } = {}) {
    if (this.#live?.send({ type, ...fields })) return true;
    if (!quiet) this.#tell(t("news.offline"), { urgent: true, kind: "warning" });
    return false;
  }

  hear(live) {
    this.#live = live;
    const on = (type, see) => live.addEventListener(type, ({ detail }) => see.call(this, detail));
    on("welcome", this.#welcome);
    on("roster", this.#roster);
    on("chat", this.#message);
    on("state", this.#state);
    on("levels", ({ levels, speaker }) => this.set({ levels, speaker }));
    on("quality", (quality) => this.set({ up: upwards(quality) }));
    on("tiles", ({ shows }) => this.set({ shows }));
    on("refused", ({ of, code, message }) => {
      if (of === "tiles") this.set({ unshown: { code } });
      else this.#tell(message, { urgent: true, kind: "warning" });
    });
  }

  openChat(chatOpen) {
    this.set({ chatOpen, unread: chatOpen ? 0 : this.unread });
  }

  #welcome({ you, role, title, locked, chat }) {
    const last = this.chat.at(-1)?.id;
    const missed = last === undefined ? [] : chat.slice(chat.findIndex((one) => one.id === last) + 1);
    const unread = this.chatOpen ? 0 : this.unread + missed.filter((one) => one.from !== you).length;
    this.set({ you, role, title: title || this.title, locked, chat, unread });
  }

  #roster({ participants }) {
    const before = new Map(this.participants.map((one) => [one.id, one]));
    const mine = this.me;
    this.set({ participants });
    if (this.#known) {
      const others = participants.filter((one) => !one.you);
      this.#crowd("news.joined", others.filter((one) => !one.waiting && before.get(one.id)?.waiting !== false));
      const gone = [...before.values()].filter((one) => !one.you && !one.waiting && !participants.some(({ id }) => id === one.id));
      this.#crowd("news.left", gone);
      for (const one of others) this.#compare(before.get(one.id) ?? {}, one);
      this.#mine(mine ?? {}, this.me ?? {});
    }
    this.#known = true;
  }

  #crowd(key, people) {
    const said = { kind: "people" };
    if (people.length > CROWD) this.#tell(t(MANY[key], { count: people.length }), said);
    else for (const { name } of people) this.#tell(t(key, { name }), said);
  }

  #compare(before, { name, waiting, hand }) {
    if (waiting && !before.waiting) this.#tell(t("news.waits", { name }), { urgent: true, kind: "wait", open: "people" });
    if (hand && !before.hand && !waiting) this.#tell(t("news.hand", { name }), { kind: "hand" });
  }

  #mine(before, now) {
    if (now.muted_by_host && !before.muted_by_host) this.#tell(t("news.mutedByHost"), { urgent: true, kind: "mic-off" });
    if (!now.muted_by_host && before.muted_by_host)
      this.#tell(t(now.muted ? "news.stillMuted" : "news.unmutedByHost"), { urgent: true, kind: "mic" });
    if (before.hand && !now.hand) this.#tell(t("news.handLowered"), { kind: "hand" });
    if (before.hand > 1 && now.hand === 1) this.#tell(t("news.handFirst"), { kind: "hand" });
  }

  #message(message) {
    if (this.chat.some((one) => one.id === message.id)) return;
    const mine = message.from === this.you;
    this.set({
      chat: [...this.chat, message].slice(-KEPT),
      unread: this.chatOpen || mine ? this.unread : this.unread + 1,
    });
    if (!mine) {
      const text = t("news.chat", { name: message.name, text: message.text });
      this.#tell(text, { kind: "chat", open: "chat", quiet: this.chatOpen });
    }
  }

  #state({ place, locked = false, layout, layouts, presenting, recording }) {
    const { locked: was, presenting: before, recording: recorded, place: from } = this;
    const shown = presenting ?? null;
    this.set({ place, locked: Boolean(locked), layout, layouts: layouts ?? [], presenting: shown, recording: Boolean(recording) });
    if (place === "room" && from === "lobby") this.#tell(t("news.admitted"), { urgent: true, kind: "check" });
    if (locked !== was && place === "room") this.#tell(t(locked ? "news.locked" : "news.unlocked"), { kind: "lock" });
    if (shown !== before && shown !== null && shown !== this.you)
      this.#tell(t("news.presents", { name: this.name(presenting) }), { kind: "screen" });
    if (recording && !recorded) this.#tell(t("news.recording"), { urgent: true, kind: "record" });
  }
}
