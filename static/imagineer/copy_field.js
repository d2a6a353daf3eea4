// A button that copies a field; without this file the field can still be selected by hand.
const field = document.querySelector("[data-copy-field]");
const button = document.querySelector("[data-copy-button]");
if (field && button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
    } catch {
      // without https there is no clipboard: it is selected, so that the keyboard can
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}
