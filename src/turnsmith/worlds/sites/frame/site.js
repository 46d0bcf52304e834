// What pages do by themselves: drop-down menus, folds, option pickers, pop-ups, and forms that keep what was typed.
"use strict";

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, a");
  for (const sheet of document.querySelectorAll(".sheet:not([hidden])")) {
    if (!sheet.parentElement.contains(event.target)) toggle(sheet.previousElementSibling, sheet, true);
  }
  if (!target) return;
  if ("menu" in target.dataset || "fold" in target.dataset) {
    const body = target.nextElementSibling;
    toggle(target, body, !body.hidden);
  } else if ("pick" in target.dataset) {
    pick(target);
  } else if ("dismiss" in target.dataset) {
    const popup = target.closest("[data-popup]");
    document.cookie = popup.dataset.popup + "=seen; path=/; samesite=lax"; // sent with the very next request
    popup.remove();
  }
});

function toggle(button, body, hide) {
  body.hidden = hide;
  button.setAttribute("aria-expanded", String(!hide));
}

function pick(chosen) {
  const picker = chosen.closest("[data-picker]");
  for (const option of picker.querySelectorAll("[data-pick]")) {
    const on = option === chosen;
    option.classList.toggle("on", on);
    option.textContent = (on ? "✓ " : "") + option.dataset.pick;
  }
  picker.querySelector("input").value = chosen.dataset.pick;
  picker.dispatchEvent(new CustomEvent("picked", { bubbles: true, detail: chosen.dataset.pick }));
}

// In a form of several fields Enter goes to the next empty field; only the button sends it.
document.addEventListener("keydown", (event) => {
  const form = event.target.closest && event.target.closest("form[data-steady]");
  if (!form || event.key !== "Enter" || event.target.tagName === "BUTTON") return;
  event.preventDefault();
  const empty = [...form.querySelectorAll("input:not([type=hidden]), textarea")].find((field) => !field.value);
  if (empty) empty.focus();
});

// A filter that hides what does not match while one types.
document.addEventListener("input", (event) => {
  const list = event.target.dataset && event.target.dataset.filters && document.getElementById(event.target.dataset.filters);
  if (!list) return;
  const asked = event.target.value.trim().toLowerCase();
  for (const entry of list.children) entry.hidden = !entry.textContent.toLowerCase().includes(asked);
});
