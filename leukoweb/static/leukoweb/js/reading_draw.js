// What the reading board says in words and lists; each takes its element and its data.

export function minutesText(minutes) {
  if (minutes === null) return "";
  return minutes < 1 ? "less than a minute left" : `about ${minutes} minute${minutes === 1 ? "" : "s"} left`;
}

/** The cases as numbered buttons with their state in words. */
export function drawCases(list, cases, current, go) {
  list?.replaceChildren(...cases.map((line) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const words = line.answered && line.viewed ? "finished" : line.answered ? "fields not seen" : "open";
    button.type = "button";
    button.className = `desk-case is-${words.split(" ")[0]}`;
    button.textContent = line.n;
    button.setAttribute("aria-label", `Case ${line.n}, ${words}`);
    button.title = words;
    if (line.case === current) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => go(line));
    item.append(button);
    return item;
  }));
}

/** The AI's result in a session that shows it; ``payload`` is null in every other. */
export function drawAssistance(box, payload) {
  box.hidden = !payload;
  box.replaceChildren();
  if (!payload) return;
  const line = (tag, text, name = "") => {
    const element = document.createElement(tag);
    element.textContent = text;
    element.className = name;
    box.append(element);
  };
  line("h2", `AI result, ${payload.pipeline}`);
  for (const result of payload.results) {
    line("p", result.title, "desk-ai-title");
    if (result.sentences.length) line("p", `${result.sentences.join("; ")}.`, "small");
    if (result.deciding.length) line("p", `Deciding fields: ${result.deciding.join(", ")}`, "small text-muted");
  }
  if (payload.synthetic) line("p", "Synthetic demonstration model.", "synthetic-note");
}

/** Whether everything is on the server: says what is true, also while the line is down. */
export function drawSaved(badge, { pending, at, failing }) {
  badge.dataset.saved = failing ? "failing" : pending ? "saving" : "saved";
  const waiting = `${pending} answer${pending === 1 ? "" : "s"} not yet on the server`;
  if (failing) badge.textContent = `${pending ? waiting : "No connection"}, trying again`;
  else if (pending) badge.textContent = "Saving";
  else badge.textContent = at ? `Saved ${at.toLocaleTimeString([], { hour12: false })}` : "";
}
