// Shows alternatives as they are drawn, without reloading: what is written and picked meanwhile stays.
// Without this script the page shows the state of the moment it was made.
const PAUSE = 1000; // milliseconds
const place = document.querySelector("[data-follow]");

function picked() {
  return new Set([...document.querySelectorAll("[data-live] input:checked")].map((box) => box.value));
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error(answer.status);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const kept = picked();
  for (const part of document.querySelectorAll("[data-live]")) {
    const newer = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    // the element itself stays, since the lightbox listens to it
    if (newer && newer.innerHTML !== part.innerHTML) part.replaceChildren(...newer.childNodes);
  }
  for (const box of document.querySelectorAll("[data-live] input[type=checkbox]")) {
    box.checked = kept.has(box.value);
  }
}

async function follow() {
  let seen = null;
  for (let misses = 0; ; ) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE * Math.min(30, 2 ** misses)));
    if (document.hidden) continue;
    try {
      const answer = await fetch(place.dataset.follow, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(answer.status);
      const state = await answer.json();
      misses = 0;
      const now = `${state.status} ${state.done} ${state.failed}`;
      if (seen !== now) await refresh();
      seen = now;
      const message = document.querySelector("[data-message]");
      if (message) message.textContent = state.message ?? "";
      if (!state.is_active) return;
    } catch {
      misses += 1; // signed out, or the server restarts
    }
  }
}

if (place?.hasAttribute("data-is-active")) follow();
