// What of a folder that is dropped again goes into an unfinished upload.

import { folderOf } from "./upload_plan.js";

const PATH_MAX = 500; // longer ones are refused by the server, which keeps their beginning

/**
 * ``known``: files that the server was told of and waits for. ``fresh``: files that it was never told of, with their slide:
 * the one of the upload, or that of the other files of their folder. ``homeless``: those whose folder it does not know.
 * ``missing``: how many it waits for that are not among the files. ``waiting``: archives that it has and unpacks.
 * ``met``: the upload knows at least one of the files; else they are likely those of another patient.
 * @param {object[]} files of the drop  @param {object[]} items of the upload  @param {{slide: number|null, slides: object[]}} state
 */
export function toResume(files, items, state) {
  const byPath = new Map(items.map((item) => [item.path, item]));
  const itemOf = (file) => byPath.get(file.path.slice(0, PATH_MAX));
  const codes = new Map(state.slides.map(({ id, code }) => [id, code]));
  const slidesIn = new Map();
  for (const { path, slide } of items) {
    if (slide === null) continue;
    const folder = folderOf(path);
    slidesIn.set(folder, (slidesIn.get(folder) ?? new Set()).add(slide));
  }
  const awaited = files.filter((file) => itemOf(file)?.needed && itemOf(file).size === file.size);
  const archives = new Set(awaited.filter((file) => file.archive).map((file) => file.path));
  const known = [...awaited, ...files.filter((file) => itemOf(file)?.member && archives.has(file.memberOf))];
  const fresh = [];
  const homeless = [];
  for (const file of files) {
    if (itemOf(file) || (file.memberOf && !archives.has(file.memberOf))) continue;
    const slides = [...(slidesIn.get(folderOf(file.path)) ?? [])];
    if (file.archive || (state.slide === null && slides.length !== 1)) homeless.push(file);
    else fresh.push({ ...file, slide: state.slide === null ? codes.get(slides[0]) : "" });
  }
  const byKind = (one, other) => Number(other.archive) - Number(one.archive);
  return {
    known: known.sort(byKind), fresh, homeless,
    missing: items.filter((item) => item.needed).length - awaited.length,
    met: files.some((file) => itemOf(file)),
    waiting: items.filter((item) => item.state === "received" && item.archive),
  };
}
