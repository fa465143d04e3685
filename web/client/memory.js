// What is remembered between visits, in this browser only; without storage (private windows) nothing is.
const PLACE = "visiopont";

function read(storage, key) {
  try {
    return JSON.parse(storage().getItem(key)) ?? {};
  } catch {
    return {};
  }
}

function keep(storage, key, values) {
  try {
    storage().setItem(key, JSON.stringify({ ...read(storage, key), ...values }));
  } catch {
    /* then the next visit asks again */
  }
}

const local = () => localStorage;
const tab = () => sessionStorage;

/** Choices: `name`, `language`, `camera`, `microphone`, `speaker` (device ids), `cameraOn`, `microphoneOn`. */
export const choices = () => read(local, PLACE);
export const choose = (values) => keep(local, PLACE, values);

/** Of this tab and room: `token` (got for a PIN), `joined` (ms since 1970: a reload goes straight back). */
export const visit = (room) => read(tab, `${PLACE}:${room}`);
export const note = (room, values) => keep(tab, `${PLACE}:${room}`, values);
