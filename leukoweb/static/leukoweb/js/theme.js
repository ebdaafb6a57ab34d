// A classic script in the head, so that the theme stands before the first paint. The choice is kept on this computer.
(function () {
  "use strict";
  const KEY = "leukoweb.theme";
  const CHOICES = ["auto", "light", "dark", "neutral"];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function stored() {
    try {
      const value = window.localStorage.getItem(KEY);
      return CHOICES.includes(value) ? value : "auto";
    } catch {
      return "auto"; // storage is switched off: the choice lasts for this page
    }
  }

  let choice = stored();

  function apply() {
    const root = document.documentElement;
    const isDark = choice === "dark" || choice === "neutral" || (choice === "auto" && dark.matches);
    root.setAttribute("data-bs-theme", isDark ? "dark" : "light");
    if (choice === "neutral") root.setAttribute("data-surround", "neutral");
    else root.removeAttribute("data-surround");
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
  }

  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", (event) => {
    if (event.key === KEY) {
      choice = stored();
      apply();
    }
  });
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("[data-theme-choice]") : null;
    if (!button) return;
    choice = button.dataset.themeChoice;
    try {
      window.localStorage.setItem(KEY, choice);
    } catch {
      // storage is switched off: the choice lasts for this page
    }
    apply();
  });
})();
