// The camera's picture in several sizes at once (simulcast, RFC 8853), where browser and server can.

/** Smallest first: who shows it in a small tile is sent a small picture. */
const LAYERS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];

/** A transceiver that sends in layers, where the browser can. */
export function layered(add) {
  try {
    return add({ sendEncodings: LAYERS });
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
