// Makes the words of [data-vocabulary] into buttons that put them into the prompt being written: the field of
// data-fields that was used last, at the caret. Each kind of word is one stop of the Tab key, arrows go on within it.
// Without this script the words are plain text, and those of the default model alone are shown.
(function () {
  "use strict";

  function fieldsOf(place) {
    const scope = place.closest("form") || document;
    return place.dataset.fields
      .split(" ")
      .map((name) => scope.querySelector(`input[name="${name}"], textarea[name="${name}"]`))
      .filter((field) => field && !field.readOnly && !field.disabled);
  }

  function labelOf(field) {
    const label = field.labels && field.labels[0];
    return (label ? label.textContent : field.name).replace(/[\s:*]+$/, "").trim();
  }

  function insert(field, word, isSetOff) {
    const [start, end] = [field.selectionStart ?? field.value.length, field.selectionEnd ?? field.value.length];
    const before = field.value.slice(0, start);
    const after = field.value.slice(end);
    let text = word;
    if (before.trim() && !/[\s(]$/.test(before)) text = (isSetOff && !/[,.:;]$/.test(before) ? ", " : " ") + text;
    if (/^[\p{L}\p{N}]/u.test(after)) text += " ";
    if (field.maxLength > 0 && before.length + text.length + after.length > field.maxLength) return false;
    field.setRangeText(text, start, end, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return true;
  }

  function walk(list, event) {
    const buttons = [...list.querySelectorAll("button")];
    const here = buttons.indexOf(document.activeElement);
    const steps = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: -1 };
    if (here < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const next = buttons.at(steps[event.key] % buttons.length);
    buttons[here].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  function bring(place) {
    const fields = fieldsOf(place);
    if (!fields.length) return;
    let target = fields[0];
    for (const field of fields) field.addEventListener("focus", () => (target = field));
    const said = place.querySelector("[data-said]");

    for (const list of place.querySelectorAll("ul")) {
      list.setAttribute("role", "toolbar");
      list.setAttribute("aria-label", list.dataset.kind);
      for (const item of list.children) item.setAttribute("role", "presentation");
      for (const [i, span] of list.querySelectorAll("[data-word]").entries()) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = span.textContent;
        button.tabIndex = i ? -1 : 0;
        span.replaceWith(button);
      }
      list.addEventListener("keydown", (event) => walk(list, event));
      // A click with the mouse leaves the caret where it is.
      list.addEventListener("mousedown", (event) => event.target.matches("button") && event.preventDefault());
      list.addEventListener("click", (event) => {
        if (!event.target.matches("button")) return;
        const word = event.target.textContent;
        const isIn = insert(target, word, "setOff" in list.dataset);
        said.textContent = isIn
          ? `“${word}” is in ${labelOf(target)}.`
          : `“${word}” does not fit into ${labelOf(target)} any more: it takes ${target.maxLength} characters.`;
      });
    }

    const scope = place.closest("form") || document;
    const choice = scope.querySelector(`select[name="${place.dataset.modelField}"]`);
    const models = [...place.querySelectorAll("[data-model]")];
    function show() {
      const chosen = choice ? choice.value : "";
      for (const model of models) {
        const { model: key, name } = model.dataset;
        model.hidden = chosen ? chosen !== key && chosen !== name : !("default" in model.dataset);
      }
    }
    if (choice) choice.addEventListener("change", show);
    show();
  }

  for (const place of document.querySelectorAll("[data-vocabulary]")) bring(place);
})();
