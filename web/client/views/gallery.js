// The gallery's tiles: the person's picture or a card with their name, who speaks in a frame, one pinned, pages of them.
import { button, fill, h, icon, write } from "../dom.js";
import { arrange } from "../places.js";
import { t } from "../i18n.js";

const SMALLEST = { width: 168, height: 95 }; // px: less shows nobody
const KINDS = { telephone: "phone", terminal: "screen" };

const initial = (one) => (one.kind in KINDS ? icon(KINDS[one.kind]) : ([...one.name][0]?.toUpperCase() ?? "?"));

/** One tile; `show` follows its person, `picture` its track. */
function cell({ key, content }, gallery) {
  const video = h("video", { autoplay: true, muted: true, playsInline: true, hidden: true });
  const card = h("div", { class: "card", "aria-hidden": "true" });
  const name = h("span", { class: "name" });
  const muted = h("span", { class: "muted", hidden: true }, icon("mic-off"), h("span", { class: "words" }, t("roster.muted")));
  const pin = !content && button("pin", "", { class: "icon-only pin", onclick: () => gallery.pin(key) });
  const element = h("li", { class: `cell ${content ? "content" : ""}` }, card, video, h("div", { class: "plate" }, muted, name), pin);
  return {
    element,
    show(one, pinned) {
      const words = content ? t("gallery.content", { name: one.name }) : one.name;
      write(name, words);
      video.setAttribute("aria-label", words);
      if (card.dataset.of !== `${one.kind} ${one.name}`) fill(card, h("span", {}, content ? icon("screen") : initial(one)));
      card.dataset.of = `${one.kind} ${one.name}`;
      muted.hidden = content || !(one.muted || one.muted_by_host);
      if (!pin) return;
      const act = t(pinned ? "gallery.unpin" : "gallery.pin", { name: one.name });
      write(pin.querySelector(".words"), act);
      pin.title = act;
      pin.classList.toggle("on", pinned);
    },
    picture(track) {
      if (video.srcObject?.getTracks()[0] !== track) video.srcObject = track ? new MediaStream([track]) : null;
      video.hidden = !track; // the card is seen through it until there is a picture
    },
    lie({ x, y, width, height }) {
      Object.assign(element.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
      element.classList.toggle("tiny", width < 220);
    },
  };
}

function pager(gallery) {
  const back = button("previous", t("gallery.previous"), { class: "icon-only", title: t("gallery.previous"), onclick: () => gallery.turn(-1) });
  const on = button("next", t("gallery.next"), { class: "icon-only", title: t("gallery.next"), onclick: () => gallery.turn(1) });
  const where = h("span", { role: "status" });
  const element = h("div", { class: "pager", role: "group", "aria-label": t("gallery.pages") }, back, where, on);
  const stop = gallery.watch(["page", "pages"], ({ page, pages }) => {
    element.hidden = pages < 2;
    write(where, t("gallery.page", { page: page + 1, pages }));
    for (const [one, end] of [[back, page === 0], [on, page === pages - 1]]) one.setAttribute("aria-disabled", String(end));
  });
  return { element, stop };
}

export function galleryView({ gallery, room }) {
  const list = h("ul", { class: "cells", "aria-label": t("gallery.label") });
  const nobody = h("p", { class: "nobody" }, t("gallery.alone"));
  const pages = pager(gallery);
  const element = h("div", { class: "gallery", hidden: true }, list, nobody, pages.element);
  let cells = new Map();

  function lay() {
    const box = { width: list.clientWidth, height: list.clientHeight };
    if (!box.width || !box.height) return;
    const places = arrange(cells.size, box, gallery.chosen);
    const heights = new Map();
    [...cells].forEach(([key, one], index) => {
      one.lie(places[index]);
      heights.set(key, places[index].height);
    });
    const fit = Math.floor(box.width / SMALLEST.width) * Math.floor(box.height / SMALLEST.height);
    gallery.laid(fit, heights);
  }

  /** Tiles are kept, and with them pictures and the focus. */
  function draw() {
    const held = document.activeElement;
    const before = cells;
    cells = new Map(gallery.cells.map((what) => [what.key, before.get(what.key) ?? cell(what, gallery)]));
    for (const { key, one } of gallery.cells) cells.get(key).show(one, key === gallery.pinned);
    const wanted = [...cells.values()].map((one) => one.element);
    if (wanted.length !== list.childElementCount || wanted.some((one, index) => list.children[index] !== one)) {
      list.replaceChildren(...wanted);
      if (list.contains(held)) held.focus();
      for (const video of list.querySelectorAll("video")) if (video.srcObject) video.play().catch(() => {});
    }
    list.hidden = wanted.length === 0;
    nobody.hidden = wanted.length > 0;
    picture();
    speak();
    lay();
  }

  function picture() {
    for (const [key, one] of cells) one.picture(gallery.pictures.get(key) ?? null);
  }

  function speak() {
    for (const [key, one] of cells) one.element.classList.toggle("speaks", key === room.speaker);
  }

  const watcher = new ResizeObserver(lay);
  watcher.observe(list);
  const stops = [
    pages.stop,
    gallery.watch(["on"], ({ on }) => (element.hidden = !on)),
    gallery.watch(["cells", "chosen", "pinned"], draw),
    gallery.watch(["pictures"], picture),
    room.watch(["speaker"], speak),
    () => watcher.disconnect(),
  ];
  return { element, stops };
}
