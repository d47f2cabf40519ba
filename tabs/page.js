// Ctrl+Enter (or Command+Enter) anywhere on the page presses the Generate button that can be seen.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.repeat) return;
  const seen = [...document.querySelectorAll("button.generate")].find((button) => button.offsetParent !== null);
  if (!seen || seen.disabled) return;
  event.preventDefault();
  event.stopPropagation();
  seen.click();
}, true);
