// Comforts of the order form; without this script its buttons ask the server.
const form = document.querySelector("form[data-order]");

if (form) {
  const theme = form.querySelector("#id_user_theme");
  const themes = [...form.querySelectorAll("#themes option")].map((option) => option.value);
  form.querySelector("[data-surprise]").addEventListener("click", (event) => {
    event.preventDefault();
    const others = themes.filter((text) => text !== theme.value);
    theme.value = others[Math.floor(Math.random() * others.length)];
    theme.focus();
  });

  const rows = form.querySelector("[data-load-rows]");
  for (const select of [form.elements.template, form.elements.version]) {
    if (!select || !rows) continue;
    select.addEventListener("change", () => rows.click());
    // Somebody may have chosen before this script was here to see it.
    const sent = [...select.options].findIndex((option) => option.defaultSelected);
    if (select.selectedIndex !== Math.max(0, sent)) rows.click();
  }

  const table = form.querySelector("[data-rows]");
  if (table) {
    const boxes = [...table.querySelectorAll("input")];
    const count = table.querySelector("[data-row-count]");
    const tell = () => {
      const ticked = boxes.filter((box) => box.checked).length;
      count.textContent = ticked ? `${ticked} of ${boxes.length}` : `all ${boxes.length}`;
    };
    const tools = document.createElement("p");
    for (const [text, wanted] of [
      ["All", () => true],
      ["None", () => false],
      ["The others", (box) => !box.checked],
    ]) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button small";
      button.textContent = text;
      button.addEventListener("click", () => {
        for (const box of boxes) box.checked = wanted(box);
        tell();
      });
      tools.append(button, " ");
    }
    table.querySelector("ol").before(tools);
    table.addEventListener("change", tell);
  }

  const choose = (name, value) => {
    const radio = form.querySelector(`input[name="${name}"][value="${value}"]`);
    if (radio) radio.checked = true;
  };
  form.elements.seed?.addEventListener("input", (event) => {
    if (!event.target.value) choose("seed_mode", "random");
    else if (form.elements.seed_mode.value === "random") choose("seed_mode", "count");
  });
  form.querySelector("[data-lora-stack]")?.addEventListener("change", () => choose("lora_mode", "own"));
}

// A second press while the first is on its way; the server starts one run either way.
document.querySelector("[data-once]")?.form.addEventListener("submit", (event) => {
  if (event.target.dataset.isSent) event.preventDefault();
  event.target.dataset.isSent = "1";
});
addEventListener("pageshow", () => delete document.querySelector("form.check")?.dataset.isSent);
