// Puts prompt templates and sizes into the form that they stand in. Without this script each is a link that fills
// the form by its address, as templates_app/prompt_library.py does; what has been written elsewhere in it is lost then.
const PLACEHOLDER = "{prompt}";

const join = (first, second) => [first.replace(/[ ,]+$/, ""), second].filter(Boolean).join(", ");
const trim = (text) => text.replace(/^[ ,]+|[ ,]+$/g, "");

function setField(field, value, caret = value.length) {
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
  if (field.type === "textarea") field.setSelectionRange(caret, caret); // numbers have no caret to set
}

for (const place of document.querySelectorAll("[data-insert]")) {
  const form = place.closest("form");
  if (place.hidden) {
    form?.elements[place.dataset.prompt]?.closest("div").after(place);
    place.hidden = false;
  }
  place.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-prompt-text]");
    const prompt = form?.elements[place.dataset.prompt];
    if (!chip || !prompt || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const negative = form.elements[place.dataset.negative];
    const { promptText, negativeText } = chip.dataset;
    if ("replace" in chip.dataset) {
      if (negative) negative.value = negativeText;
      setField(prompt, promptText);
      return;
    }
    if (negative && negativeText && !negative.value.includes(negativeText)) {
      negative.value = join(negative.value.trim(), negativeText);
    }
    const written = prompt.value.trim();
    if (promptText.includes(PLACEHOLDER)) {
      const filled = promptText.replaceAll(PLACEHOLDER, written);
      // with nothing written yet, the caret waits where the subject belongs
      if (written) setField(prompt, trim(filled));
      else setField(prompt, filled, promptText.indexOf(PLACEHOLDER));
    } else {
      setField(prompt, trim(join(written, promptText)));
    }
  });
}

for (const place of document.querySelectorAll("[data-sizes]")) {
  const form = place.closest("form");
  const model = form?.elements.model;
  const chips = [...place.querySelectorAll("[data-of-models]")];
  const sizeOf = (chip) => {
    const sizes = JSON.parse(chip.dataset.ofModels);
    return sizes[model?.value ?? ""] ?? sizes[""];
  };
  const show = () => {
    for (const chip of chips) {
      const [width, height] = sizeOf(chip);
      chip.querySelector("[data-size]").textContent = `${width} × ${height}`;
      const isChosen = Number(form.elements.width.value) === width && Number(form.elements.height.value) === height;
      chip.toggleAttribute("aria-current", isChosen);
    }
  };
  place.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-of-models]");
    if (!chip || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const [width, height] = sizeOf(chip);
    form.elements.width.value = width;
    form.elements.height.value = height;
    show();
  });
  form.addEventListener("input", (event) => {
    if (["model", "width", "height"].includes(event.target.name)) show();
  });
  show();
}

// A link whose data-fill names a form: its other data are values of fields there. Pages that change bring new ones.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-fill]");
  const form = link && document.getElementById(link.dataset.fill);
  if (!form || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const { fill, ...values } = link.dataset;
  for (const [name, value] of Object.entries(values)) {
    const field = form.elements[name];
    field.closest("details")?.setAttribute("open", "");
    setField(field, value);
  }
});
