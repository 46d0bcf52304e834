// Runs in every document before the page's own scripts, in the page's own world, and only does what cannot be done from
// outside it: it reports requests of the page's scripts and who has a click handler (as events that observe.js hears in
// its own world), and keeps the page in one tab. Natives are taken while they are still pristine, so that a page that
// overrides them changes nothing here.
(() => {
  const { apply, getOwnPropertyDescriptor } = Reflect;
  const call = (method, self, ...args) => apply(method, self, args);
  const getter = (owner, name) => getOwnPropertyDescriptor(owner.prototype, name).get;
  const setter = (owner, name) => getOwnPropertyDescriptor(owner.prototype, name).set;
  const NativeEvent = CustomEvent;
  const dispatch = EventTarget.prototype.dispatchEvent;
  const listen = EventTarget.prototype.addEventListener;
  const here = document;
  const tell = (target, name, detail) => call(dispatch, target, new NativeEvent(`turnsmith:${name}`, { detail }));

  // ---- requests under way -----------------------------------------------------------------------------------------

  let count = 0;

  function began() {
    const id = (count += 1);
    tell(here, "began", id);
    return () => tell(here, "ended", id);
  }

  const { fetch, Promise } = window;
  const then = Promise.prototype.then;
  if (fetch) {
    window.fetch = function (...args) {
      const ended = began();
      const response = apply(fetch, this, args);
      call(then, response, ended, ended);
      return response;
    };
  }
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (...args) {
    call(listen, this, "loadend", began(), { once: true });
    return apply(send, this, args);
  };

  // ---- who has a click handler -------------------------------------------------------------------------------------

  const all = Document.prototype.querySelectorAll;
  const size = getter(NodeList, "length");
  const handlers = [HTMLElement, SVGElement, MathMLElement].map((kind) => [kind, getter(kind, "onclick")]);
  const handlerOf = (element) => {
    for (let at = 0; at < handlers.length; at += 1) {
      const [kind, read] = handlers[at];
      if (element instanceof kind) return call(read, element);
    }
    return null;
  };
  call(listen, here, "turnsmith:ask", () => {
    const elements = call(all, here, "*");
    for (let at = 0, end = call(size, elements); at < end; at += 1) {
      if (handlerOf(elements[at]) !== null) tell(elements[at], "clickable");
    }
  });

  // ---- one tab -----------------------------------------------------------------------------------------------------

  const formTarget = getter(HTMLFormElement, "target");
  const setFormTarget = setter(HTMLFormElement, "target");
  const stays = (name) => !name || /^_(self|parent|top)$/i.test(name) || frameOf(name) !== undefined;
  const frameOf = (name) => {
    for (const frame of call(all, here, "iframe, frame")) if (frame.name === name) return frame.contentWindow;
    return undefined;
  };

  // A form that a script sends into a new window is sent here, with its method and what is in it.
  const submit = HTMLFormElement.prototype.submit;
  const baseTarget = () => call(all, here, "base[target]")[0]?.getAttribute("target") ?? "";
  const keepForm = (form) => {
    if (!stays(call(formTarget, form) || baseTarget())) call(setFormTarget, form, "_self");
  };
  HTMLFormElement.prototype.submit = function () {
    keepForm(this);
    return call(submit, this);
  };
  call(
    listen,
    window,
    "submit",
    (event) => {
      if (event.target instanceof HTMLFormElement) keepForm(event.target);
    },
    true,
  );

  // A window that a script opens is this one, or the frame of that name. Scripts get a window, as they would.
  window.open = (url, name) => {
    const wanted = name === undefined ? "" : String(name);
    const frame = frameOf(wanted);
    const target = frame ?? (/^_self$/i.test(wanted) ? window : /^_parent$/i.test(wanted) ? window.parent : window.top);
    if (url) target.location.href = new URL(url, here.baseURI).href;
    return target;
  };
  window.close = () => {};
})();
