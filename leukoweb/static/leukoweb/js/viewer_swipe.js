// A flick with one finger over a field that is seen whole: to the next one, or to the one before.

const FAR_PX = 60;
const FLAT = 0.6; // height to width of the movement at most
const QUICK_MS = 600;

/**
 * @param {HTMLElement} stage  @param {{mayStart: () => boolean, next: () => void, previous: () => void}} on
 * mayStart: whether the field is seen whole; closer up, a finger moves it
 */
export function listenToSwipes(stage, { mayStart, next, previous }) {
  const fingers = new Set();
  let start = null;
  const options = { capture: true };
  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    fingers.add(event.pointerId);
    start = fingers.size === 1 && mayStart() ? { x: event.clientX, y: event.clientY, at: event.timeStamp } : null;
  }, options);
  const end = (event) => {
    if (!fingers.delete(event.pointerId) || !start || event.type === "pointercancel") return;
    const across = event.clientX - start.x;
    const down = event.clientY - start.y;
    const quick = event.timeStamp - start.at < QUICK_MS;
    start = null;
    if (quick && Math.abs(across) > FAR_PX && Math.abs(down) < FLAT * Math.abs(across)) (across < 0 ? next : previous)();
  };
  window.addEventListener("pointerup", end, options);
  window.addEventListener("pointercancel", end, options);
}
