// Where the tiles of a gallery lie: as large as the place allows, all of one size, a chosen one larger.

const GAP = 8; // px
const SHAPE = 16 / 9;
const CHOSEN = { wide: 0.78, high: 0.66 }; // of the width, or of the height, that the chosen one gets at most

/** `count` places `{x, y, width, height}` in whole pixels within `box`; the first is the chosen one, if there is one. */
export function arrange(count, box, chosen = false) {
  if (!chosen || count < 2) return even(count, { x: 0, y: 0, ...box });
  const wide = box.width > box.height;
  const width = wide ? Math.floor(Math.min((box.width - GAP) * CHOSEN.wide, box.height * SHAPE)) : box.width;
  const height = wide ? box.height : Math.floor(Math.min((box.height - GAP) * CHOSEN.high, box.width / SHAPE));
  const rest = wide
    ? { x: width + GAP, y: 0, width: box.width - width - GAP, height }
    : { x: 0, y: height + GAP, width, height: box.height - height - GAP };
  return [...even(1, { x: 0, y: 0, width, height }), ...even(count - 1, rest)];
}

/** The number of columns that makes them largest; a last row that is not full lies in the middle. */
function even(count, { x, y, width, height }) {
  let best = { wide: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const most = Math.min((width - GAP * (columns - 1)) / columns, ((height - GAP * (rows - 1)) / rows) * SHAPE);
    const wide = Math.max(1, Math.floor(most));
    if (wide > best.wide) best = { columns, rows, wide };
  }
  const { columns, rows, wide } = best;
  const high = Math.floor(wide / SHAPE);
  const top = y + Math.floor((height - rows * high - (rows - 1) * GAP) / 2);
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = x + Math.floor((width - inRow * wide - (inRow - 1) * GAP) / 2);
    return { x: left + (index % columns) * (wide + GAP), y: top + row * (high + GAP), width: wide, height: high };
  });
}
