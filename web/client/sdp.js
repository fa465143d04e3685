// The few things that a session description says of us that the browser does not know to say.

/** Mark the m-line of `mid` as the presentation (RFC 4796); null: there is none. */
export function withContent(sdp, mid) {
  if (mid === null) return sdp;
  return sdp
    .split(/(?=^m=)/m)
    .map((section) => {
      const ours = section.startsWith("m=video") && section.split("\r\n").includes(`a=mid:${mid}`);
      return ours && !section.includes("a=content:") ? `${section}a=content:slides\r\n` : section;
    })
    .join("");
}

/** Without the candidates of a transport, "udp" or "tcp": for tests of one way alone. */
export function withoutCandidates(sdp, transport) {
  const pattern = new RegExp(`^a=candidate:\\S+ \\d+ ${transport} `, "i");
  return sdp
    .split("\r\n")
    .filter((line) => !pattern.test(line))
    .join("\r\n");
}

/** Its candidates (RFC 8839 §5.1), each once: `{transport, address, port}`. */
export function candidates(sdp) {
  const found = [...sdp.matchAll(/^a=candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+) /gm)];
  const each = found.map(([, transport, address, port]) => [`${transport} ${address} ${port}`, { transport: transport.toLowerCase(), address, port }]);
  return [...new Map(each).values()];
}
