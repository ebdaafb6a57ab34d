// The plan as a table that can be edited: one row for each folder (and what the pattern found in it).

import { compilePattern, groups, nameSlides, problems } from "./upload_plan.js";

export function inWords(bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

function cell(row, text, className = "") {
  const made = row.insertCell();
  made.textContent = text;
  made.className = className;
  return made;
}

export class PlanTable {
  constructor(root) {
    this.root = root;
    this.slide = root.dataset.slide; // set: everything goes into this slide
    this.files = [];
    this.plan = [];
    this.kept = new Map(); // codes that were typed stay, whatever is dropped or changed above the table afterwards
    this.edited = false; // something would be lost if the page were left
    for (const name of ["pattern", "prefix"]) this.part(name)?.addEventListener("input", () => this.#group());
    this.part("cohort")?.addEventListener("change", () => this.#check());
    this.part("clear").addEventListener("click", () => window.location.reload());
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  show(files, leftOut) {
    this.files = files;
    this.part("plan").hidden = !files.length;
    this.part("left-out").textContent = leftOut.length
      ? `Left out, because by their names they are no images: ${leftOut.slice(0, 10).join(", ")}${leftOut.length > 10 ? ` and ${leftOut.length - 10} more` : ""}.`
      : "";
    this.#group();
    if (files.length) this.part("plan").focus();
  }

  #group() {
    const error = this.part("pattern-error");
    let pattern = null;
    try {
      pattern = compilePattern(this.part("pattern")?.value ?? "");
      if (error) error.textContent = "";
    } catch (problem) {
      error.textContent = problem.message;
    }
    this.part("pattern")?.setAttribute("aria-invalid", String(Boolean(error?.textContent)));
    this.plan = groups(this.files, pattern, this.part("prefix")?.value ?? "", this.kept);
    this.#draw();
  }

  #draw() {
    const body = this.part("rows");
    body.replaceChildren();
    this.plan.forEach((group, index) => {
      const row = body.insertRow();
      cell(row, group.folder || "(no folder)", "break");
      if (!this.slide) for (const field of ["patient", "slide"]) this.#input(row, group, field, index);
      cell(row, String(group.files.length), "text-end num");
      cell(row, inWords(group.bytes), "text-end num");
    });
    this.#check();
  }

  #input(row, group, field, index) {
    const input = document.createElement("input");
    input.className = "form-control";
    input.value = group[field];
    input.maxLength = 60;
    input.spellcheck = false;
    input.setAttribute("aria-label", `${field === "patient" ? "Patient" : "Slide"} code for ${group.folder || "files"}`);
    input.dataset.key = `${field}-${index}`;
    input.addEventListener("input", () => {
      group[field] = input.value.trim();
      this.kept.set(group.key, { ...this.kept.get(group.key), [field]: group[field] });
      this.edited = true;
      if (field === "patient") this.#renameSlides();
      this.#check();
    });
    row.insertCell().append(input);
  }

  #renameSlides() {
    nameSlides(this.plan, this.kept);
    for (const [index, { slide }] of this.plan.entries()) this.root.querySelector(`[data-key="slide-${index}"]`).value = slide;
  }

  #check() {
    const wrong = this.slide ? [] : problems(this.plan);
    for (const input of this.root.querySelectorAll("[data-key]")) input.removeAttribute("aria-invalid");
    for (const [group, field] of wrong) {
      const key = `${field}-${this.plan.indexOf(group)}`;
      this.root.querySelector(`[data-key="${key}"]`).setAttribute("aria-invalid", "true");
    }
    const noCohort = !this.slide && !this.part("cohort").value;
    const images = this.files.filter((file) => !file.archive);
    const bytes = images.reduce((sum, file) => sum + file.size, 0);
    this.part("plan-words").textContent =
      `${images.length} files, ${inWords(bytes)}, into ${this.slide ? "this slide" : this.#countSlides()}.`;
    this.part("plan-problem").textContent = noCohort ? "Choose a cohort." : wrong.length ? wrong[0][2] : "";
    this.ready = Boolean(images.length) && !noCohort && !wrong.length;
    this.part("start").disabled = !this.ready;
  }

  #countSlides() {
    const count = new Set(this.plan.map((group) => group.slide)).size;
    return count === 1 ? "1 slide" : `${count} slides`;
  }

  read() {
    this.#check();
    return this.ready ? this.plan.map((group) => ({ ...group, slide: this.slide ? "" : group.slide })) : null;
  }

  target() {
    return this.slide ? { slide: Number(this.slide) } : { cohort: Number(this.part("cohort").value) };
  }
}
