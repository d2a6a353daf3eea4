// Follows a job: an element with data-job-progress="URL" is filled from that JSON once a second while it is shown.
// Inside it: [data-bar] is its <progress>, [data-field=NAME] gets the text of that key. Without this script the
// page shows the state of the moment it was made.
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

  async function follow(place) {
    for (let misses = 0; ; ) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE * Math.min(30, 2 ** misses)));
      if (document.hidden) continue;
      try {
        const answer = await fetch(place.dataset.jobProgress, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(answer.status);
        const state = await answer.json();
        misses = 0;
        show(place, state);
        if (!state.is_active) {
          location.reload(); // the buttons and links that belong to the end
          return;
        }
      } catch {
        misses += 1; // signed out, or the server restarts
      }
    }
  }

  for (const place of document.querySelectorAll("[data-job-progress][data-is-active]")) follow(place);
})();
