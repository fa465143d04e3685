// What is seldom needed: layout, devices, connection, full screen, picture in picture.
import { announce, button, h, icon, write } from "../dom.js";
import { decimal, knows, t } from "../i18n.js";
import { deviceFields } from "./devices.js";
import { openDialog } from "./dialog.js";

/** Small pictures of the layouts we know: places on a grid of 12 by 8. */
const PICTURES = {
  strip: ["8x8", "3x2", "3x2", "3x2"],
  grid: ["cell", "cell", "cell", "cell", "cell", "cell", "cell", "cell", "cell"],
  single: ["whole"],
  "side-by-side": ["half", "half"],
  presentation: ["8x8", "3x2", "3x2", "3x2"],
};

const layoutName = (name) => (knows(`layout.${name}`) ? t(`layout.${name}`) : name);

function layouts({ room }) {
  const box = h("fieldset", { class: "layouts" });
  const forAll = h("input", { type: "checkbox", id: "layout-all" });
  const stop = room.watch(["layouts", "layout", "role"], ({ layouts: names, layout, host }) => {
    const places = names.map((name) => {
      const picture = h("span", { class: `picture ${name}`, "aria-hidden": "true" }, (PICTURES[name] ?? ["whole"]).map(() => h("span")));
      const radio = h("input", {
        type: "radio",
        name: "layout",
        value: name,
        checked: name === layout,
        onchange: () => room.send(host && forAll.checked ? "room_layout" : "layout", { layout: name }),
      });
      return h("label", { class: "choice" }, radio, picture, h("span", {}, layoutName(name)));
    });
    const held = box.contains(document.activeElement) && document.activeElement.value;
    box.replaceChildren(
      h("legend", {}, t("layout.title")),
      h("div", { class: "choices" }, places),
      ...(host ? [h("label", { class: "check", htmlFor: "layout-all" }, forAll, t("layout.forAll"))] : []),
    );
    box.hidden = names.length === 0;
    if (held) box.querySelector(`input[value="${CSS.escape(held)}"]`)?.focus();
  });
  return { element: box, stop };
}

/** Between the bridge's one picture and everybody's own. */
function views(gallery) {
  const option = (value, on) => {
    const radio = h("input", { type: "radio", name: "view", value, onchange: () => gallery.show(on) });
    const element = h("label", { class: "choice plain" }, radio, icon(on ? "gallery" : "layout"), h("span", {}, t(`view.${value}`)));
    return { radio, element, on };
  };
  const options = [option("composed", false), option("gallery", true)];
  const element = h("fieldset", { class: "layouts" }, h("legend", {}, t("view.title")), h("div", { class: "choices" }, options.map((one) => one.element)));
  const stop = gallery.watch(["on"], (now) => {
    element.hidden = !gallery.able;
    for (const { radio, on } of options) radio.checked = on === now.on;
  });
  return { element, stop };
}

export function openSettings({ devices, meeting }) {
  const fields = deviceFields(devices, { video: meeting.hasVideo });
  openDialog({ title: t(meeting.hasVideo ? "device.title" : "device.titleVoice"), content: () => fields.element, closed: fields.close });
}

/** The connection in words, what to do about it, and the numbers for who helps by telephone. */
export function openConnection({ meeting, room }) {
  const word = h("p", { class: "lead" });
  const advice = h("p", {});
  const table = h("dl", { class: "numbers" });
  const percent = (value) => `${decimal(100 * value)} %`;
  const rows = (words, one) =>
    one
      ? [
          [t(`connection.loss.${words}`), percent(one.loss ?? 0)],
          [t(`connection.jitter.${words}`), `${decimal(one.jitter ?? 0, 0)} ms`],
        ]
      : [];
  const see = () => {
    const { quality, down } = meeting;
    write(word, t(`quality.${quality}`));
    write(advice, t(`connection.advice.${quality}`));
    const trip = down?.roundTrip || room.up?.roundTrip;
    const numbers = [...rows("down", down), ...rows("up", room.up)];
    if (trip) numbers.push([t("connection.trip"), `${decimal(trip, 0)} ms`]);
    if (down?.way) numbers.push([t("connection.way"), down.way.toUpperCase()]);
    table.replaceChildren(...numbers.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  };
  const stops = [meeting.watch(["quality", "down"], see), room.watch(["up"], see)];
  openDialog({
    title: t("connection.title"),
    content: () => [word, advice, table],
    closed: () => stops.forEach((stop) => stop()),
  });
}

const fullScreen = () => document.fullscreenElement ?? document.webkitFullscreenElement;

/** iPhones let only a video fill the screen. */
export function toggleFullScreen(stage, video) {
  if (fullScreen()) return document.exitFullscreen();
  const request = stage.requestFullscreen ?? stage.webkitRequestFullscreen;
  if (request) return request.call(stage);
  return video.webkitEnterFullscreen?.();
}

export const canFloat = (video) => Boolean(document.pictureInPictureEnabled && video.requestPictureInPicture);

async function toggleFloat(video) {
  if (document.pictureInPictureElement) await document.exitPictureInPicture();
  else await video.requestPictureInPicture().catch(() => announce(t("pip.failed"), { urgent: true }));
}

/** The panel's content. `narrow` entries are those that the bar has no room for on a phone. */
export function morePanel({ room, meeting, devices, stage, video, narrow, self, done }) {
  const chooser = layouts({ room });
  const { gallery } = meeting;
  const switcher = views(gallery);
  const place = h("div", {}, chooser.element);
  const stop = gallery.watch(["on"], ({ on }) => (place.hidden = on)); // it is of the bridge's picture
  const entry = (shape, words, act) =>
    button(shape, words, {
      class: "entry",
      onclick() {
        done();
        act();
      },
    });
  const entries = [
    ...narrow.map(({ shape, words, act, count }) => {
      const made = entry(shape, words, act);
      made.classList.add("narrow");
      if (count) made.append(h("span", { class: "count" }, count));
      return made;
    }),
    entry("gear", t(meeting.hasVideo ? "device.title" : "device.titleVoice"), () => openSettings({ devices, meeting })),
    entry("signal", t("more.connection"), () => openConnection({ meeting, room })),
    entry("full", t(fullScreen() ? "more.exitFull" : "more.full"), () => toggleFullScreen(stage, video)),
    !gallery.on && canFloat(video) && entry("pip", t("more.pip"), () => toggleFloat(video)),
    devices.camera && entry("people", t(self.hidden ? "more.showSelf" : "more.hideSelf"), () => (self.hidden = !self.hidden)),
  ];
  return {
    title: t("more.title"),
    element: h("div", { class: "more" }, switcher.element, place, h("div", { class: "entries" }, entries), h("p", { class: "hint keys" }, icon("info"), t("more.keys"))),
    shown() {},
    close() {
      for (const each of [chooser.stop, switcher.stop, stop]) each();
    },
  };
}
