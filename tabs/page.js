// Ctrl+Enter (or Command+Enter) anywhere on the page presses the Generate button that can be seen.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.repeat) return;
  const seen = [...document.querySelectorAll("button.generate")].find((button) => button.offsetParent !== null);
  if (!seen || seen.disabled) return;
  event.preventDefault();
  event.stopPropagation();
  seen.click();
}, true);

// A picture dropped anywhere but where one is asked for fills the form of the tab that is open (tabs/dropping.py).
function receiverOf(event) {
  if (event.defaultPrevented || ![...event.dataTransfer.types].includes("Files")) return undefined;
  if (event.target.closest(".block")?.querySelector("input[type=file]")) return undefined;
  const open = [...document.querySelectorAll("[role=tabpanel]")].filter((panel) => panel.offsetParent !== null);
  return open.map((panel) => panel.querySelector(".dropped input[type=file]")).find(Boolean);
}
document.addEventListener("dragover", (event) => {
  if (receiverOf(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  const receiver = receiverOf(event);
  if (!receiver) return;
  event.preventDefault();
  const taken = new DataTransfer();
  [...event.dataTransfer.files].slice(0, 1).forEach((file) => taken.items.add(file));
  receiver.files = taken.files;
  receiver.dispatchEvent(new Event("change", { bubbles: true }));
});
