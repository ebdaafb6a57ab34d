// What goes where: files grouped by folder, and by what a pattern finds in their paths, with codes to be edited.

export const CODE = /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}$/;

// Python writes (?P<name>...), browsers (?<name>...): both are taken. "" means no pattern.
export function compilePattern(text) {
  if (!text.trim()) return null;
  const pattern = new RegExp(text.replaceAll("(?P<", "(?<"));
  const groups = new RegExp(`${pattern.source}|`).exec("").length - 1;
  if (!groups) throw new Error("The pattern needs a part in parentheses: the patient's code.");
  return pattern;
}

export function readPattern(pattern, path) {
  const match = pattern?.exec(path.split("/").pop()) ?? pattern?.exec(path);
  if (!match) return { patient: "", slide: "" };
  const named = match.groups ?? {};
  return { patient: ("patient" in named ? named.patient : match[1]) ?? "", slide: named.slide ?? "" };
}

export function toCode(text) {
  const plain = text.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^A-Za-z0-9 ._-]+/g, "-");
  return plain.replace(/^[^A-Za-z0-9]+/, "").slice(0, 55).trim();
}

function unnamed() {
  const bytes = crypto.getRandomValues(new Uint8Array(3));
  return `UNNAMED-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export function folderOf(path) {
  return path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
}

// [{key, folder, patient, slide, files, bytes}] in the order of the files; archives themselves are in no group.
// The prefix keeps numbers that several cohorts use (1, 2, 3, ...) apart: a code is unique in the installation.
// ``kept``: key -> {patient, slide}, the codes that stay whatever is proposed, because they were typed; one that was drawn is added.
export function groups(files, pattern, prefix = "", kept = new Map()) {
  const found = new Map();
  for (const file of files) {
    if (file.archive) continue;
    const folder = folderOf(file.path);
    const { patient, slide } = readPattern(pattern, file.path);
    const key = JSON.stringify([folder, patient, slide]);
    if (!found.has(key)) found.set(key, { key, folder, patient, named: toCode(slide), files: [], bytes: 0 });
    const group = found.get(key);
    group.files.push(file);
    group.bytes += file.size;
  }
  const plan = [...found.values()];
  for (const group of plan) {
    const plain = toCode(group.patient || group.folder.split("/").pop());
    if (!plain && !kept.get(group.key)?.patient) kept.set(group.key, { ...kept.get(group.key), patient: unnamed() });
    group.patient = kept.get(group.key)?.patient ?? prefix.trim() + plain;
  }
  nameSlides(plan, kept);
  return plan;
}

// A slide is called as it was typed, as the pattern found it, or after its patient: who corrects a patient's code, which was
// perhaps a name, has not left that name in the slide's.
export function nameSlides(plan, kept) {
  const slidesOf = new Map();
  for (const group of plan) {
    const number = (slidesOf.get(group.patient) ?? 0) + 1;
    slidesOf.set(group.patient, number);
    group.slide = kept.get(group.key)?.slide ?? (group.named || `${group.patient}-S${number}`);
  }
}

// Why the plan cannot be sent yet: [[group, "patient" | "slide", message]].
export function problems(plan) {
  const owner = new Map();
  const found = [];
  for (const group of plan) {
    for (const field of ["patient", "slide"]) {
      if (!CODE.test(group[field])) {
        found.push([group, field, "1 to 60 letters, digits, spaces, dots, dashes; begins with a letter or digit."]);
      }
    }
    const other = owner.get(group.slide);
    if (other !== undefined && other !== group.patient) {
      found.push([group, "slide", `Slide ${group.slide} cannot belong to ${other} and ${group.patient}.`]);
    }
    owner.set(group.slide, group.patient);
  }
  return found;
}
