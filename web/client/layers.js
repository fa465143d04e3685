// The camera's picture in several sizes at once (simulcast, RFC 8853), where browser and server can.

/** Smallest first: who shows it in a small tile is sent a small picture. */
const LAYERS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];

/** As many as a browser sends of a picture so wide: of a smaller one Chromium would leave out the largest. Where the camera
 * is still to come, two fit nearly every one. */
function fitting(width = 640) {
  if (width >= 960) return LAYERS;
  return width >= 480 ? LAYERS.slice(1) : [];
}

/** A transceiver that sends a camera's track in layers, where the browser can. */
export function layered(add, track) {
  const sendEncodings = fitting(track?.getSettings().width);
  try {
    return add(sendEncodings.length ? { sendEncodings } : {});
  } catch {
    return add({});
  }
}

/** Where the server takes one layer only, the browser is left with the smallest: that is the whole picture then. */
export function flattened(sender) {
  const parameters = sender?.getParameters();
  const [only, ...others] = parameters?.encodings ?? [];
  if (!only || others.length || !(only.scaleResolutionDownBy > 1)) return;
  Object.assign(only, { scaleResolutionDownBy: 1, maxBitrate: LAYERS.at(-1).maxBitrate });
  sender.setParameters(parameters).catch(() => {});
}
