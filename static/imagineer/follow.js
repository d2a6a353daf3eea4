// Keeps a part of the page up to date: an element with data-follow="URL" gets the HTML of that address again and again
// while it is shown, quickly while it holds [data-is-busy]. It waits while somebody's focus is inside. Without this
// script the page shows the state of the moment it was made.
(function () {
  "use strict";

  const BUSY = 2000; // milliseconds
  const IDLE = 10000;

  async function follow(place) {
    for (let misses = 0; ; ) {
      const pause = place.querySelector("[data-is-busy]") ? BUSY : IDLE;
      await new Promise((resolve) => setTimeout(resolve, Math.min(60000, pause * 2 ** misses)));
      if (document.hidden || place.contains(document.activeElement)) continue;
      try {
        const answer = await fetch(place.dataset.follow);
        if (!answer.ok) throw new Error(answer.status);
        const text = await answer.text();
        if (!place.contains(document.activeElement)) place.innerHTML = text;
        misses = 0;
      } catch {
        misses += 1; // the server restarts
      }
    }
  }

  for (const place of document.querySelectorAll("[data-follow]")) follow(place);
})();
