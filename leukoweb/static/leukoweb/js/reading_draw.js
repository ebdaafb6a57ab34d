// What the reading board says in words and lists; each takes its element and its data.

export function minutesText(minutes) {
  if (minutes === null) return "";
  return minutes < 1 ? "less than a minute left" : `about ${minutes} minute${minutes === 1 ? "" : "s"} left`;
}

/** The cases as numbered buttons with their state in words. */
export function drawCases(list, cases, current, go) {
  if (!list) return;
  if (list.children.length !== cases.length) list.replaceChildren(...cases.map((line) => caseItem(line, go)));
  cases.forEach((line, index) => {
    const button = list.children[index].firstElementChild; // kept, so that it keeps the keyboard's focus
    const words = line.gone ? "withdrawn" : line.answered && line.viewed ? "finished" : line.answered ? "fields not seen" : "open";
    button.className = `desk-case is-${line.gone ? "finished" : words.split(" ")[0]}`;
    button.setAttribute("aria-label", `Case ${line.n}, ${words}`);
    button.title = words;
    if (line.case === current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
}

function caseItem(line, go) {
  const item = document.createElement("li");
  const button = added(item, "button", line.n);
  button.type = "button";
  button.addEventListener("click", () => go(line));
  return item;
}

function added(box, tag, text, name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = name;
  box.append(element);
  return element;
}

/**
 * The AI's result in a session that shows it; ``payload`` is null in every other.
 * @param {(n: number) => void} look  goes to a field
 */
export function drawAssistance(box, payload, look) {
  box.hidden = !payload;
  box.replaceChildren();
  if (!payload) return;
  added(box, "h2", `The AI says (${payload.pipeline})`);
  for (const result of payload.results) {
    added(box, "p", result.title, "desk-ai-title");
    if (result.sentences.length) added(box, "p", `${result.sentences.join("; ")}.`, "small");
    if (result.deciding.length) drawDeciding(box, result.deciding, look);
  }
  if (payload.synthetic) added(box, "p", "Synthetic demonstration model.", "synthetic-note");
}

const FIRST_DECIDING = 12;

function drawDeciding(box, fields, look) {
  const list = added(box, "p", "Deciding fields ", "desk-ai-fields small");
  for (const n of fields.slice(0, FIRST_DECIDING)) {
    const button = added(list, "button", String(n), "desk-ai-field");
    button.type = "button";
    button.setAttribute("aria-label", `Go to deciding field ${n}`);
    button.addEventListener("click", (event) => {
      if (event.detail > 0) button.blur(); // after a click, Enter means "next case"
      look(n);
    });
  }
  if (fields.length > FIRST_DECIDING) added(list, "span", `and ${fields.length - FIRST_DECIDING} more`);
}

/** Whether everything is on the server: says what is true, also while the line is down. */
export function drawSaved(badge, { pending, at, failing, closed, refused }) {
  badge.dataset.saved = failing || refused ? "failing" : pending ? "saving" : "saved";
  const waiting = `${pending} answer${pending === 1 ? "" : "s"} not yet on the server`;
  if (closed) badge.textContent = waiting;
  else if (refused) badge.textContent = `Not accepted${refused.n ? `, case ${refused.n}` : ""}: ${refused.words}`;
  else if (failing) badge.textContent = `${pending ? waiting : "No connection"}, trying again`;
  else if (pending) badge.textContent = "Saving";
  else badge.textContent = at ? `Saved ${at.toLocaleTimeString([], { hour12: false })} local time` : "";
}
