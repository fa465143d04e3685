// Levels of tracks, and a sound by which people find their loudspeaker.

const EVERY = 50; // ms: twenty times a second looks alive
const FLOOR = -60; // dBFS shown as nothing
const FALL = 0.03; // of the scale a step: a second and a half from top to bottom

/** Calls `see(0…1)` with how loud `track` is, until closed. */
export class Meter {
  #context = new AudioContext();
  #timer;

  constructor(track, see) {
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    this.#context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let shown = 0;
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      const level = Math.min(1, 1 - (10 * Math.log10(power + 1e-12)) / FLOOR);
      shown = Math.max(0, level, shown - FALL); // up at once, down slowly: the eye follows
      see(shown);
    }, EVERY);
    this.#context.resume().catch(() => {});
  }

  close() {
    clearInterval(this.#timer);
    this.#context.close().catch(() => {});
  }
}

/** Let `element` sound on the chosen loudspeaker, where the browser can. */
export async function playOn(element, speaker) {
  if (speaker !== undefined && "setSinkId" in element) await element.setSinkId(speaker).catch(() => {});
}

const NOTES = [523.25, 659.25, 783.99]; // C, E, G: upwards sounds like a question answered
const NOTE = 0.22; // s

/** Three notes on `speaker`; settles when they are over. */
export async function chime(speaker) {
  const context = new AudioContext();
  const out = context.createMediaStreamDestination();
  const player = Object.assign(new Audio(), { srcObject: out.stream });
  await playOn(player, speaker);
  await Promise.all([context.resume(), player.play()]);
  NOTES.forEach((frequency, index) => {
    const start = context.currentTime + 0.1 + index * NOTE;
    const note = new OscillatorNode(context, { frequency });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.linearRampToValueAtTime(0, start);
    gain.gain.linearRampToValueAtTime(0.25, start + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.001, start + 2 * NOTE);
    note.connect(gain).connect(out);
    note.start(start);
    note.stop(start + 2 * NOTE);
  });
  await new Promise((over) => setTimeout(over, 1000 * (0.3 + NOTE * (NOTES.length + 1))));
  player.srcObject = null;
  await context.close();
}
