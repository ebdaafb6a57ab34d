// What was dropped or chosen, as [{path, size, file, archive, memberOf}] in capture order; documents and the files of
// operating systems are left out and named.

import { listZip } from "./upload_zip.js";

const SYSTEM_FILES = new Set([".ds_store", "thumbs.db", "desktop.ini", "ehthumbs.db", ".directory"]);
const SYSTEM_FOLDERS = new Set(["__macosx", ".git", "$recycle.bin", "system volume information"]);
const DOCUMENTS = new Set(
  "md txt csv tsv json xml html htm pdf doc docx odt xls xlsx ods ppt pptx ini log db yaml yml url lnk".split(" "),
);
const natural = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

export function byCaptureOrder(one, other) {
  return natural.compare(one.path, other.path) || (one.path < other.path ? -1 : 1);
}

export function extension(path) {
  const name = path.split("/").pop();
  return name.includes(".") ? name.split(".").pop().toLowerCase() : "";
}

export function isSystem(path) {
  const parts = path.toLowerCase().split("/");
  const name = parts.pop();
  return SYSTEM_FILES.has(name) || name.startsWith(".") || parts.some((part) => SYSTEM_FOLDERS.has(part));
}

async function entriesOf(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all; // browsers hand out at most 100 at a time
    all.push(...some);
  }
}

async function walk(entry, prefix, found) {
  const path = prefix ? `${prefix}/${entry.name}` : entry.name;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ path, file, size: file.size });
  } else if (entry.isDirectory) {
    for (const child of await entriesOf(entry)) await walk(child, path, found);
  }
}

export async function fromDrop(transfer) {
  // Entries must be taken before the first await: the browser empties the list after the event.
  const entries = Array.from(transfer.items ?? [], (item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

export function fromInput(input) {
  return Array.from(input.files, (file) => ({ path: file.webkitRelativePath || file.name, file, size: file.size }));
}

export async function sortOut(found) {
  const files = [];
  const leftOut = [];
  for (const one of found) {
    if (isSystem(one.path)) continue;
    if (DOCUMENTS.has(extension(one.path))) {
      leftOut.push(one.path);
    } else if (extension(one.path) === "zip") {
      files.push({ ...one, archive: true, memberOf: "" });
      for (const member of await listZip(one.file)) {
        const path = `${one.path}/${member.path}`;
        if (isSystem(member.path)) continue;
        if (DOCUMENTS.has(extension(path))) leftOut.push(path);
        else files.push({ path, size: member.size, file: null, archive: false, memberOf: one.path });
      }
    } else {
      files.push({ ...one, archive: false, memberOf: "" });
    }
  }
  return { files: files.sort(byCaptureOrder), leftOut };
}
