// Which parts of a field were really looked at: an 8 x 8 grid, a part counts once it was in sight at half size or closer.

const SIDE = 8;
const CLOSE_ENOUGH = 0.5; // screen pixels per image pixel

/** @param {string} mask 16 hexadecimal digits  @returns {bigint} */
export const fromHex = (mask) => BigInt(`0x${mask}`);

export const toHex = (bits) => bits.toString(16).padStart(16, "0");

export function share(bits) {
  let count = 0;
  for (let rest = bits; rest; rest >>= 1n) count += Number(rest & 1n);
  return count / (SIDE * SIDE);
}

/**
 * @param {{x: number, y: number, width: number, height: number}} view in units of the image's width
 * @param {{width: number, height: number}} size of the image in pixels
 * @param {number} scale screen pixels per image pixel
 * @returns {bigint} bit 8 * row + column for each part whose middle is in sight
 */
export function seenParts(view, size, scale) {
  // A field smaller than the screen at full size is close enough as a whole.
  if (!(scale >= CLOSE_ENOUGH)) return 0n;
  const tall = size.height / size.width;
  let bits = 0n;
  for (let row = 0; row < SIDE; row += 1) {
    for (let column = 0; column < SIDE; column += 1) {
      const x = (column + 0.5) / SIDE;
      const y = ((row + 0.5) / SIDE) * tall;
      const inside = x >= view.x && x <= view.x + view.width && y >= view.y && y <= view.y + view.height;
      if (inside) bits |= 1n << BigInt(row * SIDE + column);
    }
  }
  return bits;
}
