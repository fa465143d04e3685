// In the room: the picture, what is said about it, the bar, and one panel at a time.
import { button, fill, h, icon, write } from "../dom.js";
import { t } from "../i18n.js";
import { Model } from "../model.js";
import { playOn } from "../sound.js";
import { chatPanel } from "./chat.js";
import { galleryView } from "./gallery.js";
import { morePanel, openConnection } from "./more.js";
import { rosterPanel } from "./roster.js";
import { toasts } from "./toasts.js";
import { toolbar } from "./toolbar.js";

const KEYS = { KeyM: "toggleMicrophone", KeyV: "toggleCamera", KeyH: "toggleHand" };

/** The line above the picture: which room, locked, recorded, how the connection is. */
function title({ meeting, room }) {
  const lock = h("span", { class: "flag" }, icon("lock"), h("span", {}, t("flag.locked")));
  const record = h("span", { class: "flag record" }, icon("record"), h("span", {}, t("flag.recording")));
  const quality = button("signal", "", { class: "quality", onclick: () => openConnection({ meeting, room }) });
  const words = quality.querySelector(".words");
  const { gallery } = meeting;
  const view = button(null, "", { class: "view", "aria-keyshortcuts": "Alt+Shift+G", onclick: () => gallery.show(!gallery.on) });
  const caption = h("p", { class: "caption" });
  const stops = [
    room.watch(["locked", "recording"], ({ locked, recording }) => {
      lock.hidden = !locked;
      record.hidden = !recording;
    }),
    room.watch(["speaker", "presenting", "participants"], ({ speaker, presenting }) => {
      const name = room.name(presenting);
      const presents = presenting !== null && (presenting === room.you ? t("stage.youPresent") : t("stage.presents", { name }));
      const speaks = speaker !== null && room.name(speaker) && t("stage.speaks", { name: room.name(speaker) });
      write(caption, [presents, speaks].filter(Boolean).join(" · "));
    }),
    gallery.watch(["on"], ({ on }) => {
      const label = t(on ? "view.toComposed" : "view.toGallery");
      fill(view, ...button(on ? "layout" : "gallery", t(on ? "view.composed" : "view.gallery")).children);
      view.setAttribute("aria-label", label);
      view.title = label;
      view.hidden = !gallery.able;
    }),
    meeting.watch(["quality"], ({ quality: grade }) => {
      write(words, t(`quality.${grade}`));
      quality.className = `quality ${grade}`;
    }),
  ];
  return { element: h("header", { class: "room-top" }, h("h1", { tabIndex: -1 }, room.title), caption, lock, record, view, quality), stops };
}

function stage({ meeting, room, devices }) {
  const video = h("video", { autoplay: true, muted: true, playsInline: true, "aria-label": t("stage.label") });
  const audio = h("audio", { autoplay: true });
  const nothing = h("div", { class: "no-picture" }, icon("sound"), h("p", {}, t("stage.soundOnly")));
  const tiles = galleryView({ gallery: meeting.gallery, room });
  const trouble = h("div", { class: "trouble", role: "status" });
  const unlock = button("sound", t("stage.unlock"), { class: "primary unlock", hidden: true });
  const self = h("video", { autoplay: true, muted: true, playsInline: true, class: "self mirror", "aria-label": t("preview.label") });
  const play = () =>
    audio.play().then(
      () => (unlock.hidden = true),
      (error) => (unlock.hidden = error.name !== "NotAllowedError"),
    );
  unlock.addEventListener("click", play);
  const stops = [
    ...tiles.stops,
    meeting.gallery.watch(["on"], ({ on }) => (video.hidden = on)),
    meeting.watch(["stream"], ({ stream }) => {
      if (!stream) return;
      video.srcObject = stream;
      audio.srcObject = stream;
      play();
      nothing.hidden = stream.getVideoTracks().length > 0;
    }),
    meeting.watch(["troubled"], ({ troubled }) => {
      trouble.hidden = !troubled;
      fill(trouble, troubled && [h("span", { class: "spinner", "aria-hidden": "true" }), h("strong", {}, t("trouble.title")), h("span", {}, t("trouble.text"))]);
    }),
    devices.watch(["camera"], ({ camera }) => {
      self.srcObject = camera ? new MediaStream([camera]) : null;
      self.hidden = !camera;
    }),
    devices.watch(["speakerId"], ({ speakerId }) => playOn(audio, speakerId || undefined)),
  ];
  const element = h("div", { class: "stage" }, video, nothing, tiles.element, audio, trouble, unlock);
  return { element, video, self, stops };
}

export function callView({ meeting, room, devices, say }) {
  const panels = new Model({ open: null });
  const news = toasts({ open: (open) => panels.set({ open }) });
  const seen = stage({ meeting, room, devices });
  const top = title({ meeting, room });
  const bar = toolbar({ meeting, room, devices, panels });
  bar.element.append(seen.self);
  seen.element.append(news.element);
  const sharing = h("div", { class: "sharing" }, icon("screen"), h("span", {}, t("share.banner")), button(null, t("share.stop"), { class: "small", onclick: () => meeting.toggleShare() }));
  const side = h("aside", { class: "panel" });
  let panel = null;
  let opener = null;
  const close = () => panels.set({ open: null });
  const narrow = () => {
    const people = room.participants.filter((one) => !one.waiting).length;
    const waiting = room.host ? room.participants.length - people : 0;
    const list = [{ shape: "people", words: t("roster.count", { count: people }), act: () => panels.set({ open: "people" }), count: waiting }];
    if (meeting.canShare) list.push({ shape: meeting.sharing ? "share-stop" : "share", words: t(meeting.sharing ? "share.stop" : "share.start"), act: () => meeting.toggleShare() });
    return list;
  };
  const make = {
    chat: () => chatPanel({ room, close }),
    people: () => rosterPanel({ room }),
    more: () => morePanel({ room, meeting, devices, stage: element, video: seen.video, self: seen.self, narrow: narrow(), done: close }),
  };
  const element = h("div", { class: "call" }, top.element, h("main", { id: "main", class: "middle" }, sharing, seen.element), side, bar.element);
  const stops = [
    ...top.stops,
    ...seen.stops,
    meeting.watch(["sharing"], ({ sharing: track }) => (sharing.hidden = !track)),
    panels.watch(["open"], ({ open }) => {
      panel?.close();
      panel = open ? make[open]() : null;
      side.hidden = !panel;
      element.classList.toggle("with-panel", Boolean(panel));
      element.dataset.panel = open ?? "";
      if (!panel) {
        opener?.focus();
        opener = null;
        return;
      }
      if (!side.contains(document.activeElement)) opener = document.activeElement;
      const heading = h("h2", { tabIndex: -1, id: "panel-title" }, panel.title);
      side.setAttribute("aria-labelledby", "panel-title");
      fill(side, h("div", { class: "panel-head" }, heading, button("close", t("close"), { class: "icon-only", title: t("close"), onclick: close })), panel.element);
      heading.focus();
      panel.shown();
    }),
  ];
  function keys(event) {
    if (event.key === "Escape" && panels.open && !document.querySelector("dialog[open]")) close();
    if (!event.altKey || !event.shiftKey || event.ctrlKey || event.metaKey) return;
    if (event.code === "KeyC") panels.set({ open: panels.open === "chat" ? null : "chat" });
    else if (event.code === "KeyG") meeting.gallery.show(!meeting.gallery.on);
    else if (event.code in KEYS) meeting[KEYS[event.code]]();
    else return;
    event.preventDefault();
  }
  addEventListener("keydown", keys);
  say(news.tell);
  return {
    element: [element],
    close() {
      removeEventListener("keydown", keys);
      panel?.close();
      bar.close();
      stops.forEach((stop) => stop());
      say(null);
    },
  };
}
