// The start: a report carries its data in the page, the live viewer fetches them.
import { render } from "preact";
import { App } from "./app";
import { inlineSource } from "./source/inline";
import { SourceContext } from "./source/source";

const data = document.getElementById("turnwise-data");
const root = document.getElementById("app");
if (root && data) {
  render(<SourceContext.Provider value={inlineSource(data.textContent ?? "{}")}><App /></SourceContext.Provider>, root);
}
