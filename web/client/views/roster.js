// Who is there, who waits, whose hand is up; and what hosts may do about it.
import { announce, button, fill, h, icon, write } from "../dom.js";
import { ordinal, t } from "../i18n.js";
import { ask } from "./dialog.js";

const FLOOR = -60; // dBov
const BARS = 3;
const KINDS = { telephone: "phone", terminal: "screen" };

/** Raised hands first, in their order, then oneself, then by name. */
const order = (a, b) => (a.hand ?? 1e9) - (b.hand ?? 1e9) || Number(b.you) - Number(a.you) || a.name.localeCompare(b.name);

/** A participant's voice: bars while it is open; for hosts, the button that closes it. */
function voice(one, room, level) {
  const heard = !one.muted && !one.muted_by_host;
  const sign = heard ? level : icon("mic-off");
  if (!room.host || one.you) return h("span", { class: `voice ${heard ? "" : "off"}` }, sign);
  const words = t(one.muted_by_host ? "host.unmute" : "host.mute", { name: one.name });
  const press = () => room.send("mute_other", { id: one.id, muted: !one.muted_by_host });
  return h("button", { type: "button", class: `icon-only voice ${heard ? "" : "off"}`, title: words, onclick: press }, sign, h("span", { class: "words" }, words));
}

/** The place in the queue; hosts press it to lower the hand. */
function raised(one, room) {
  if (!one.hand) return null;
  const words = t("roster.hand", { place: ordinal(one.hand) });
  const sign = [icon("hand"), h("span", {}, words)];
  if (!room.host || one.you) return h("span", { class: "hand" }, sign);
  const label = `${words} – ${t("host.lower", { name: one.name })}`;
  return h("button", { type: "button", class: "hand", title: label, "aria-label": label, onclick: () => room.send("lower", { id: one.id }) }, sign);
}

function removal(one, room) {
  const words = t("host.remove", { name: one.name });
  const remove = { words: t("host.removeYes"), act: () => room.send("remove", { id: one.id }), danger: true };
  const question = { title: t("host.removeTitle", { name: one.name }), text: t("host.removeText"), choices: [{ words: t("cancel") }, remove] };
  return button("remove", words, { class: "icon-only remove", title: words, onclick: () => ask(question) });
}

function row(one, room) {
  const level = h("span", { class: "level", "aria-hidden": "true" }, Array.from({ length: BARS }, () => h("span")));
  const muted = one.muted_by_host ? "roster.mutedByHost" : one.muted ? "roster.muted" : null;
  const facts = [
    one.you && t("roster.you"),
    one.role === "host" && t("roster.host"),
    one.kind in KINDS && t(`roster.${one.kind}`),
    muted && t(muted),
    room.presenting === one.id && t("roster.presents"),
  ].filter(Boolean);
  const sign = one.kind in KINDS ? icon(KINDS[one.kind]) : ([...one.name][0]?.toUpperCase() ?? "?");
  const words = h(
    "span",
    { class: "person" },
    h("span", { class: "name" }, one.name),
    h("span", { class: "facts" }, raised(one, room), facts.length ? h("span", {}, facts.join(" · ")) : null),
  );
  const initial = h("span", { class: "initial", "aria-hidden": "true" }, sign);
  const element = h("li", {}, initial, words, voice(one, room, level), room.host && !one.you && removal(one, room));
  return { element, bars: [...level.children] };
}

function waitingRow(one, room) {
  const act = (type, key) => () => {
    if (room.send(type, { id: one.id })) announce(t(key, { name: one.name }));
  };
  return h(
    "li",
    {},
    h("span", { class: "initial", "aria-hidden": "true" }, [...one.name][0]?.toUpperCase() ?? "?"),
    h("span", { class: "person" }, h("span", { class: "name" }, one.name)),
    h(
      "div",
      { class: "tools" },
      button("check", t("host.admit"), { class: "primary small", "aria-label": t("host.admitName", { name: one.name }), onclick: act("admit", "host.admitted") }),
      button("close", t("host.turnAway", { name: one.name }), { class: "icon-only", title: t("host.turnAway", { name: one.name }), onclick: act("remove", "host.turnedAway") }),
    ),
  );
}

/** What concerns the whole room. */
function roomTools(room) {
  const lock = button("lock", "", { class: "quiet", onclick: () => room.send("lock", { locked: !room.locked }) });
  const mute = button("mic-off", t("host.muteAll"), { class: "quiet", onclick: () => room.send("mute_all") && announce(t("host.mutedAll")) });
  const stop = room.watch(["locked"], ({ locked }) => {
    const fresh = button(locked ? "unlock" : "lock", t(locked ? "host.unlock" : "host.lock"));
    fill(lock, ...fresh.children);
  });
  return { element: h("div", { class: "room-tools" }, mute, lock), stop };
}

export function rosterPanel({ room }) {
  const waiting = h("ul", { class: "people waiting-list" });
  const waitingTitle = h("h3", { id: "waiting-title" });
  const waitingPart = h("section", { class: "waiting-part", "aria-labelledby": "waiting-title" }, waitingTitle, waiting);
  const people = h("ul", { class: "people" });
  const count = h("h3", {});
  const element = h("div", { class: "roster" }, waitingPart, count, people);
  let bars = new Map();
  const stops = [
    room.watch(["participants", "role", "presenting"], ({ participants }) => {
      const place = focused();
      const inside = participants.filter((one) => !one.waiting).sort(order);
      const outside = participants.filter((one) => one.waiting);
      waitingPart.hidden = !room.host || outside.length === 0;
      write(waitingTitle, t("roster.waiting", { count: outside.length }));
      fill(waiting, outside.map((one) => waitingRow(one, room)));
      write(count, t("roster.count", { count: inside.length }));
      const rows = inside.map((one) => [one.id, row(one, room)]);
      bars = new Map(rows.map(([id, made]) => [id, made.bars]));
      fill(people, rows.map(([, made]) => made.element));
      refocus(place);
    }),
    room.watch(["levels"], ({ levels }) => {
      for (const [id, lamps] of bars) {
        const lit = Math.round(((levels[id] ?? FLOOR) / -FLOOR + 1) * BARS);
        lamps.forEach((lamp, index) => lamp.classList.toggle("lit", index < lit));
      }
    }),
  ];
  /** Rows are made anew when somebody comes; who was on a button of one stays on it. */
  function focused() {
    return element.contains(document.activeElement) ? document.activeElement.textContent : null;
  }
  function refocus(words) {
    if (words) [...element.querySelectorAll("button")].find((one) => one.textContent === words)?.focus();
  }
  let tools = null;
  stops.push(
    room.watch(["role"], () => {
      tools?.stop();
      tools?.element.remove();
      tools = room.host ? roomTools(room) : null;
      if (tools) element.append(tools.element);
    }),
  );
  return {
    title: t("roster.title"),
    element,
    shown() {},
    close() {
      stops.forEach((stop) => stop());
      tools?.stop();
    },
  };
}
