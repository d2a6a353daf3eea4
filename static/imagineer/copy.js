// A button beside everything that is worth copying: an element with data-copy. What is added to a page later says so
// with the event "content-added".
function offer(text) {
  const name = text.dataset.copy || text.closest("div")?.querySelector("dt")?.textContent.toLowerCase() || "this";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${name}`);
  const said = document.createElement("span");
  said.className = "visually-hidden";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      // without https there is no clipboard: select it, so that the keyboard can
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
    said.textContent = button.textContent;
    setTimeout(() => {
      button.textContent = "Copy";
      said.textContent = "";
    }, 2000);
  });
  text.after(" ", button, said);
}

function offerAll(root) {
  for (const text of root.querySelectorAll("[data-copy]")) offer(text);
}

document.addEventListener("content-added", (event) => offerAll(event.target));
offerAll(document);
