// The bar below the picture: what one needs at any moment, each button with its state in words.
import { button, fill, h } from "../dom.js";
import { ordinal, t } from "../i18n.js";
import { ask } from "./dialog.js";

/** A button whose icon, words and state follow `see()` → `{shape, words, pressed, tone, count, disabled}`. */
function live(watch, see, properties) {
  const element = button(null, "", { class: "tool", ...properties });
  const stop = watch(() => {
    const { shape, words, label, pressed, expanded, tone = "", count = 0, disabled = false } = see();
    fill(element, ...button(shape, words).children);
    if (count) element.dataset.count = count > 99 ? "99+" : count;
    else delete element.dataset.count;
    element.className = `tool ${properties.class ?? ""} ${tone}`;
    element.setAttribute("aria-label", label ?? words);
    element.title = label ?? words;
    if (pressed !== undefined) element.setAttribute("aria-pressed", String(pressed));
    if (expanded !== undefined) element.setAttribute("aria-expanded", String(expanded));
    element.disabled = disabled;
  });
  return { element, stop };
}

/** `panels` is a model whose `open` names the open panel. */
export function toolbar({ meeting, room, devices, panels }) {
  const both = (...parts) => (see) => {
    const stops = parts.map(([model, keys]) => model.watch(keys, see));
    return () => stops.forEach((stop) => stop());
  };
  const toggle = (name) => () => panels.set({ open: panels.open === name ? null : name });
  const mic = live(
    both([meeting, ["microphoneOn", "heldByHost"]], [devices, ["microphone"]]),
    () => {
      const on = meeting.microphoneOn && devices.microphone;
      if (on && meeting.heldByHost) return { shape: "mic-off", words: t("bar.held"), label: t("microphone.held"), tone: "off" };
      if (on) return { shape: "mic", words: t("bar.mute"), label: t("microphone.turnOff") };
      return { shape: "mic-off", words: t("bar.unmute"), label: t("microphone.turnOn"), tone: "off" };
    },
    { onclick: () => meeting.toggleMicrophone(), "aria-keyshortcuts": "Alt+Shift+M" },
  );
  const camera = live(
    both([devices, ["camera"]]),
    () => ({ shape: devices.camera ? "camera" : "camera-off", words: t("bar.camera"), label: t(devices.camera ? "camera.turnOff" : "camera.turnOn"), tone: devices.camera ? "" : "off" }),
    { onclick: () => meeting.toggleCamera(), "aria-keyshortcuts": "Alt+Shift+V" },
  );
  const share = live(
    both([meeting, ["sharing"]]),
    () => ({ shape: meeting.sharing ? "share-stop" : "share", words: t(meeting.sharing ? "bar.shareStop" : "bar.share"), label: t(meeting.sharing ? "share.stop" : "share.start"), tone: meeting.sharing ? "on" : "" }),
    { class: "wide-only", onclick: () => meeting.toggleShare() },
  );
  const hand = live(
    both([room, ["participants"]]),
    () => {
      const place = room.me?.hand;
      const words = place ? t("bar.handPlace", { place: ordinal(place) }) : t("bar.hand");
      return { shape: "hand", words, label: place ? t("hand.lower", { place: ordinal(place) }) : t("hand.raise"), tone: place ? "on" : "" };
    },
    { onclick: () => meeting.toggleHand(), "aria-keyshortcuts": "Alt+Shift+H" },
  );
  const people = live(
    both([room, ["participants"]], [panels, ["open"]]),
    () => {
      const count = room.participants.filter((one) => !one.waiting).length;
      const waiting = room.host ? room.participants.filter((one) => one.waiting).length : 0;
      const parts = [t("bar.people"), t("roster.count", { count }), waiting && t("roster.waiting", { count: waiting })];
      const label = parts.filter(Boolean).join(", ");
      return { shape: "people", words: t("bar.people"), label, expanded: panels.open === "people", count: waiting, tone: panels.open === "people" ? "on" : "" };
    },
    { class: "wide-only", onclick: toggle("people") },
  );
  const chat = live(
    both([room, ["unread"]], [panels, ["open"]]),
    () => {
      const { unread } = room;
      const label = unread ? t("chat.unread", { count: unread }) : t("bar.chat");
      return { shape: "chat", words: t("bar.chat"), label, expanded: panels.open === "chat", count: unread, tone: panels.open === "chat" ? "on" : "" };
    },
    { onclick: toggle("chat"), "aria-keyshortcuts": "Alt+Shift+C" },
  );
  const more = live(
    both([panels, ["open"]], [room, ["participants"]]),
    () => {
      const waiting = room.host ? room.participants.filter((one) => one.waiting).length : 0;
      return { shape: "more", words: t("bar.more"), expanded: panels.open === "more", tone: `${panels.open === "more" ? "on" : ""} ${waiting ? "waits" : ""}` };
    },
    { onclick: toggle("more") },
  );
  const leave = button("leave", t("bar.leave"), { class: "tool leave", title: t("leave"), "aria-label": t("leave"), onclick: () => leaving({ meeting, room }) });
  const parts = [mic, meeting.hasVideo && camera, meeting.canShare && share, hand, people, chat, more].filter(Boolean);
  const element = h("div", { class: "toolbar", role: "region", "aria-label": t("bar.label") }, parts.map((part) => part.element), leave);
  return { element, close: () => parts.forEach((part) => part.stop()) };
}

/** Hosts choose between leaving and ending; others just leave. */
export function leaving({ meeting, room }) {
  if (!room.host) return meeting.leave();
  return ask({
    title: t("leave.title"),
    text: t("leave.text"),
    choices: [
      { words: t("leave.only"), act: () => meeting.leave() },
      { words: t("leave.all"), act: () => meeting.endAll(), danger: true },
    ],
  });
}
