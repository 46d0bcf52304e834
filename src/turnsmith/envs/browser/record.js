// What a person does in the page, told to the recorder by the marks of the last observation (observe.js). Passwords and
// what stands in fields that ask not to be kept are never told.
"use strict";
(() => {
  if (globalThis.__turnsmith_recording__ || window.top !== window) return;
  globalThis.__turnsmith_recording__ = true;
  const typed = new WeakMap();
  const before = new WeakMap();

  function marked(target) {
    let best = null;
    for (let mark = 0; ; mark++) {
      const element = globalThis.__turnsmith__ && globalThis.__turnsmith__.element(mark);
      if (!element) break;
      if (element === target || element.contains(target)) {
        if (!best || best.element.contains(element)) best = { mark, element };
      }
    }
    return best;
  }

  function isField(element) {
    if (element.tagName === "TEXTAREA") return true;
    return element.tagName === "INPUT" && !["button", "submit", "reset", "checkbox", "radio", "image", "file"].includes(element.type);
  }

  function secret(element) {
    return element.type === "password" || /password|one-time-code|cc-/.test(element.autocomplete || "");
  }

  function nameOf(element) {
    return (element.getAttribute("aria-label") || element.innerText || element.placeholder || "").trim().slice(0, 80);
  }

  function tell(event) {
    if (globalThis.__turnsmith_record__) globalThis.__turnsmith_record__(JSON.stringify(event));
  }

  function flush(element) {
    if (!typed.has(element)) return;
    const text = typed.get(element);
    typed.delete(element);
    const found = marked(element);
    if (found && text !== before.get(element)) {
      tell({ kind: "type", mark: found.mark, text: secret(element) ? "" : text, name: nameOf(element) });
    }
  }

  addEventListener("focusin", (event) => before.set(event.target, event.target.value), true);
  addEventListener("input", (event) => {
    if (event.isTrusted && isField(event.target)) typed.set(event.target, event.target.value);
  }, true);
  addEventListener("change", (event) => {
    if (!event.isTrusted) return;
    if (event.target.tagName === "SELECT") {
      const found = marked(event.target);
      const option = event.target.selectedOptions[0];
      if (found && option) tell({ kind: "type", mark: found.mark, text: option.text.trim(), name: nameOf(event.target) });
    } else if (isField(event.target)) flush(event.target);
  }, true);
  addEventListener("keydown", (event) => {
    if (event.isTrusted && event.key === "Enter" && isField(event.target)) flush(event.target);
  }, true);
  addEventListener("click", (event) => {
    // A click that the browser makes of Enter in a form has no place on the screen.
    if (!event.isTrusted || isField(event.target) || event.target.tagName === "SELECT" || event.detail === 0) return;
    const found = marked(event.target);
    if (found) tell({ kind: "click", mark: found.mark, name: nameOf(found.element) });
  }, true);
  addEventListener("popstate", () => tell({ kind: "back" }));
})();
