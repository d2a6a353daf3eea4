// The stack of LoRAs in a form: add and remove lines, and see the trigger words of what is chosen.
for (const stack of document.querySelectorAll("[data-lora-stack]")) {
  const lines = () => [...stack.querySelectorAll("[data-lora-line]")];

  const tellWords = (line) => {
    const words = line.querySelector("select").selectedOptions[0]?.dataset.words;
    const place = line.querySelector("[data-lora-words]");
    place.textContent = words ? `trigger words: ${words} ` : "";
    const prompt = stack.closest("form")?.querySelector("[name=base_prompt], [name=prompt]");
    if (!words || !prompt) return;
    const insert = document.createElement("button");
    insert.type = "button";
    insert.textContent = "Put into the prompt";
    insert.addEventListener("click", () => {
      if (!prompt.value.includes(words)) prompt.value = [prompt.value.trim(), words].filter(Boolean).join(", ");
      prompt.focus();
    });
    place.append(insert);
  };

  const addRemoveButton = (line) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Remove";
    button.addEventListener("click", () => {
      line.querySelector("select").value = "";
      line.hidden = true;
      add.focus();
    });
    line.append(button);
  };

  const add = document.createElement("button");
  add.type = "button";
  add.textContent = "Add a LoRA";
  add.addEventListener("click", () => {
    let line = lines().find((candidate) => candidate.hidden);
    if (!line) {
      line = lines().at(-1).cloneNode(true);
      line.querySelector(":scope > button").remove();
      addRemoveButton(line);
      line.querySelector("select").removeAttribute("id");
      line.querySelector("select").setAttribute("aria-label", `LoRA ${lines().length + 1}`);
      add.before(line);
    }
    line.hidden = false;
    line.querySelector("select").value = "";
    line.querySelector("input").value = "1.0";
    tellWords(line);
    line.querySelector("select").focus();
  });

  stack.addEventListener("change", (event) => tellWords(event.target.closest("[data-lora-line]")));
  for (const line of lines()) {
    addRemoveButton(line);
    tellWords(line);
    line.hidden = !line.querySelector("select").value;
  }
  stack.append(add);
}
