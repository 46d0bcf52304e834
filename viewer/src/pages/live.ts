// The pages that need a server, by their address.
import type { FunctionComponent } from "preact";

export interface LivePageProps {
  run: string;
  query: URLSearchParams;
}

type Pages = { [path: string]: FunctionComponent<LivePageProps> | undefined };

export const LIVE_PAGES: { top: Pages; run: Pages } = {
  top: {},
  run: {},
};
