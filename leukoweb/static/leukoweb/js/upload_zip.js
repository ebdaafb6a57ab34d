// Names and sizes of the members of a zip, read from its directory at the end; nothing is unpacked here.

const END = 0x06054b50;
const ENTRY = 0x02014b50;
// What bytes from 128 on mean in a name without the mark of UTF-8 (code page 437), as the server reads them too.
const DOS =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
  "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";
const END_BYTES_MAX = 65557; // the end record with the longest comment

export class ZipUnreadable extends Error {}

async function view(blob) {
  return new DataView(await blob.arrayBuffer());
}

function endRecord(tail) {
  for (let at = tail.byteLength - 22; at >= 0; at -= 1) {
    if (tail.getUint32(at, true) === END) {
      return { size: tail.getUint32(at + 12, true), offset: tail.getUint32(at + 16, true) };
    }
  }
  throw new ZipUnreadable("This is not a complete zip archive.");
}

// The same normal form as the server's: NFC, forward slashes, no empty or "." parts.
export function memberPath(raw) {
  return raw.normalize("NFC").split(/[/\\]/).filter((part) => part !== "" && part !== ".").join("/");
}

// Many tools write UTF-8 without saying so; bytes that are no UTF-8 are those of the old code page.
export function memberName(bytes, marked) {
  try {
    return new TextDecoder("utf-8", { fatal: !marked }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => (byte < 128 ? String.fromCharCode(byte) : DOS[byte - 128])).join("");
  }
}

export async function listZip(file) {
  const tail = await view(file.slice(Math.max(0, file.size - END_BYTES_MAX)));
  const { size, offset } = endRecord(tail);
  if (offset === 0xffffffff || offset + size > file.size) {
    throw new ZipUnreadable("This zip archive cannot be looked into. Unpack it and drop its folders.");
  }
  const directory = await view(file.slice(offset, offset + size));
  const members = [];
  for (let at = 0; at + 46 <= directory.byteLength && directory.getUint32(at, true) === ENTRY; ) {
    const flags = directory.getUint16(at + 8, true);
    const nameBytes = directory.getUint16(at + 28, true);
    const more = directory.getUint16(at + 30, true) + directory.getUint16(at + 32, true);
    const name = memberName(new Uint8Array(directory.buffer, at + 46, nameBytes), (flags & 0x800) !== 0);
    if (!/[/\\]$/.test(name)) members.push({ path: memberPath(name), size: directory.getUint32(at + 24, true) });
    at += 46 + nameBytes + more;
  }
  return members;
}
