// The panels, most particular first. The first that fits a trace shows it.
import type { TracePage } from "../types";
import { browser } from "./browser";
import type { Panel } from "./panel";
import { device } from "./device";
import { text } from "./text";
import { threads } from "./threads";

export const PANELS: Panel[] = [threads, device, browser, text];

export function panelFor(trace: TracePage): Panel {
  return PANELS.find((panel) => panel.fits(trace)) ?? text;
}
