// How good the connection is, in a word, from what the server measures of us and we of it.

/** Worse than this is at least that bad: share of packets lost, ms of jitter, ms to the server and back. */
const LIMITS = [
  ["poor", { loss: 0.08, jitter: 80, roundTrip: 700 }],
  ["fair", { loss: 0.02, jitter: 40, roundTrip: 350 }],
];

/** good, fair or poor; unknown while nothing is measured. */
export function grade(...directions) {
  const measured = directions.filter(Boolean);
  if (!measured.length) return "unknown";
  const found = LIMITS.find(([, limit]) =>
    measured.some((one) => Object.entries(limit).some(([what, most]) => (one[what] ?? 0) > most)),
  );
  return found?.[0] ?? "good";
}

/** What the server says of our streams, in our units. */
export const upwards = ({ loss, jitter_ms, round_trip_ms }) => ({ loss, jitter: jitter_ms, roundTrip: round_trip_ms });

/** Measures what comes: differences between two readings of RTCPeerConnection's statistics. */
export class Downwards {
  #lost = 0;
  #received = 0;

  /** `{loss, jitter, roundTrip, kbps, way}` since the reading before; null while nothing came. */
  async read(connection) {
    const reports = [...(await connection.getStats()).values()];
    const streams = reports.filter((report) => report.type === "inbound-rtp");
    const sum = (what) => streams.reduce((total, stream) => total + (stream[what] ?? 0), 0);
    const lost = sum("packetsLost") - this.#lost;
    const received = sum("packetsReceived") - this.#received;
    [this.#lost, this.#received] = [sum("packetsLost"), sum("packetsReceived")];
    if (received <= 0) return null;
    const pair = reports.find((report) => report.type === "candidate-pair" && report.nominated && report.state === "succeeded");
    const local = reports.find((report) => report.id === pair?.localCandidateId);
    return {
      loss: Math.max(0, lost) / (Math.max(0, lost) + received),
      jitter: 1000 * Math.max(0, ...streams.map((stream) => stream.jitter ?? 0)),
      roundTrip: 1000 * (pair?.currentRoundTripTime ?? 0),
      outgoing: pair?.availableOutgoingBitrate ? pair.availableOutgoingBitrate / 1e6 : null,
      way: local?.relayProtocol ? "relay" : (local?.protocol ?? ""),
    };
  }
}
