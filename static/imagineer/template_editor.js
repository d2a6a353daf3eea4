// Comforts of a template's form: columns one press away from the prompt, sizes to choose, nothing lost by leaving.
// Runs after row_editor.js, which tells the columns of the table.

const rows = document.querySelector("textarea[data-row-editor]");
const prompt = document.getElementById("id_prompt_template");

const insert = (text) => {
  prompt.setRangeText(text, prompt.selectionStart, prompt.selectionEnd, "end");
  prompt.focus();
};

if (rows && prompt) {
  const chips = document.createElement("div");
  chips.className = "chips";
  prompt.closest(".flex-container").after(chips);
  const show = (columns) => {
    const made = columns.map((name) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.textContent = `{${name}}`;
      chip.title = `Insert the column ${name}`;
      chip.addEventListener("click", () => insert(`{${name}}`));
      return chip;
    });
    chips.replaceChildren(...made);
  };
  rows.addEventListener("columns", (event) => show(event.detail));
  rows.addEventListener("column-renamed", ({ detail: { from, to } }) => {
    prompt.value = prompt.value.replaceAll(`{${from}}`, `{${to}}`);
  });
  rows.rowEditor?.tellColumns();
}

const width = document.querySelector("input[data-sizes]");
const height = document.getElementById("id_height");
if (width && height) {
  const sizes = document.createElement("div");
  sizes.className = "chips";
  const offer = (text, title, sides) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.textContent = text;
    chip.title = title;
    chip.addEventListener("click", () => ([width.value, height.value] = sides()));
    sizes.append(chip);
  };
  offer("⇄ swap", "Swap width and height", () => [height.value, width.value]);
  for (const size of width.dataset.sizes.split(";").filter(Boolean)) {
    const [name, across, down] = size.split("|");
    offer(name, `${across} × ${down} pixels`, () => [across, down]);
  }
  height.closest(".form-row").append(sizes);
}

const form = rows?.form;
if (form) {
  let isDirty = Boolean(document.querySelector(".template-preview"));
  form.addEventListener("change", () => (isDirty = true));
  form.addEventListener("submit", () => (isDirty = false));
  window.addEventListener("beforeunload", (event) => isDirty && event.preventDefault());
}
