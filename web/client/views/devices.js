// Choosing camera, microphone and loudspeaker, with a level meter and a sound test: before the call and in it.
import { announce, button, fill, h, write } from "../dom.js";
import { t } from "../i18n.js";
import { canChooseSpeaker } from "../media.js";
import { choose } from "../memory.js";
import { Meter, chime } from "../sound.js";

const HEARD = 0.35; // of the meter: a voice, not the room's noise
const BARS = 20;
let fields = 0;

function field(kind, input, devices) {
  const id = `device-${kind}-${++fields}`;
  const select = h("select", {
    id,
    onchange: async () => {
      choose({ [`${kind}Id`]: select.value });
      await devices.choose(kind, select.value);
    },
  });
  const see = () => {
    const found = devices.of(input);
    const names = found.map((device, index) => [device.deviceId, device.label || t("device.unnamed", { number: index + 1 })]);
    const options = kind === "speaker" && !found.some(({ deviceId }) => deviceId === "default") ? [["", t("device.default")]] : [];
    const all = [...options, ...names];
    fill(select, ...(all.length ? all : [["", t(`device.none.${kind}`)]]).map(([value, words]) => h("option", { value }, words)));
    select.disabled = all.length === 0;
    if (all.some(([value]) => value === devices[`${kind}Id`])) select.value = devices[`${kind}Id`];
  };
  const stop = devices.watch(["list", `${kind}Id`], see);
  return { element: h("div", { class: "field" }, h("label", { htmlFor: id }, t(`device.${kind}`)), select), stop };
}

/** A row of bars that follows the microphone; in words for who does not see it. */
function meter(devices) {
  const bars = Array.from({ length: BARS }, () => h("span", {}));
  const words = h("p", { class: "hint", role: "status" }, t("meter.speak"));
  let running = null;
  const see = (level) => {
    const lit = Math.round(level * BARS);
    bars.forEach((bar, index) => bar.classList.toggle("lit", index < lit));
    if (level > HEARD) write(words, t("meter.heard"));
  };
  const stop = devices.watch(["microphone"], ({ microphone }) => {
    running?.close();
    running = microphone ? new Meter(microphone, see) : null;
    if (!running) see(0);
    write(words, t(microphone ? "meter.speak" : "meter.off"));
  });
  return {
    element: h("div", { class: "meter" }, h("div", { class: "bars", "aria-hidden": "true" }, bars), words),
    stop() {
      stop();
      running?.close();
    },
  };
}

function soundTest(devices) {
  const words = h("span", { class: "hint", role: "status" });
  const press = button("sound", t("sound.test"), {
    class: "quiet",
    async onclick() {
      press.disabled = true;
      write(words, t("sound.playing"));
      await chime(devices.speakerId || undefined).then(
        () => write(words, t("sound.played")),
        () => write(words, t("sound.failed")),
      );
      press.disabled = false;
    },
  });
  return h("div", { class: "sound-test" }, press, words);
}

/** `{element, close}`; the fields of pictures only where the room has any. */
export function deviceFields(devices, { video = true } = {}) {
  const parts = [field("microphone", "audioinput", devices), meter(devices)];
  if (video) parts.unshift(field("camera", "videoinput", devices));
  if (canChooseSpeaker()) parts.push(field("speaker", "audiooutput", devices));
  const element = h("div", { class: "devices" }, parts.map((part) => part.element), soundTest(devices));
  return { element, close: () => parts.forEach((part) => part.stop()) };
}

/** The camera's or microphone's button: on, off, or what is wrong with it. */
export function deviceSwitch(kind, devices, { isOn, toggle, watched }) {
  const press = button(kind === "camera" ? "camera" : "mic", "", { class: "round", onclick: toggle });
  const see = () => {
    const on = isOn();
    const shape = kind === "camera" ? "camera" : "mic";
    const fresh = button(on ? shape : `${shape}-off`, t(`${kind}.${on ? "turnOff" : "turnOn"}`));
    fill(press, ...fresh.children);
    press.classList.toggle("off", !on);
    press.title = press.textContent;
  };
  const stops = [devices.watch([`${kind}State`, kind], see), watched?.(see)];
  return { element: press, stop: () => stops.forEach((stop) => stop?.()) };
}

export const announceDevice = (kind, state) => announce(t(`device.${kind}.${state}`), { urgent: true });
