// Follows a job: an element with data-job-progress="URL" is filled from that JSON once a second while it is shown.
// Inside it: [data-bar] is its <progress>, [data-field=NAME] gets the text of that key. What is marked data-live=NAME
// anywhere on the page is taken anew from the page's own address when something has been finished; a page without
// such a part is loaded again at the end. Without this script it shows the state of the moment it was made.
(function () {
  "use strict";

  const PAUSE = 1000; // milliseconds

  function show(place, state) {
    const bar = place.querySelector("[data-bar]");
    if (bar && state.total) {
      bar.max = state.total;
      bar.value = state.done + state.failed;
    }
    for (const field of place.querySelectorAll("[data-field]")) {
      const value = state[field.dataset.field];
      const text = field.dataset.field === "total" && !value ? "?" : String(value ?? "");
      if (field.textContent !== text) field.textContent = text;
    }
  }

  async function refresh() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const ticked = [...document.querySelectorAll("[data-live] :checked")].map((box) => `${box.name}=${box.value}`);
    for (const part of document.querySelectorAll("[data-live]")) {
      const newer = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (newer && newer.innerHTML !== part.innerHTML) part.replaceChildren(...newer.childNodes);
    }
    for (const box of document.querySelectorAll("[data-live] [type=checkbox]")) {
      if (ticked.includes(`${box.name}=${box.value}`)) box.checked = true;
    }
  }

  async function follow(place) {
    const isLive = document.querySelector("[data-live]") !== null;
    let seen = "";
    for (let misses = 0; ; ) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE * Math.min(30, 2 ** misses)));
      if (document.hidden) continue;
      try {
        const answer = await fetch(place.dataset.jobProgress, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(answer.status);
        const state = await answer.json();
        show(place, state);
        const now = [state.status, state.done, state.failed, state.total].join();
        if (isLive && now !== seen) await refresh();
        seen = now;
        misses = 0;
        if (!state.is_active) {
          if (!isLive) location.reload(); // the buttons and links that belong to the end
          return;
        }
      } catch {
        misses += 1; // signed out, or the server restarts
      }
    }
  }

  for (const place of document.querySelectorAll("[data-job-progress][data-is-active]")) follow(place);
})();
