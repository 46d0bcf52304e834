"""What becomes of trouble, by rule.

| what happened | what becomes of it |
|---|---|
| the action did not parse, its mark is out of range, gone or covered, the field takes no text | step error, no effect |
| an action tries to leave the allow-list | step error: the page stays, the request is counted as blocked |
| a page answers 404, 500 or anything else over HTTP | none: the agent sees the page |
| a navigation fails in the browser (too many redirects, bad URL, an expired form on the way back) | step error |
| the server of an allowed host refuses, resets or drops the connection, or has no address | `server_down` |
| the server does not answer a navigation within `Limits.navigation` | `navigation_timeout` |
| a page never becomes quiet, or loads forever after its first byte | none: it is observed as it is |
| the page crashed | `page_crashed` |
| a script of the page does not let go within `Limits.step` | `page_hung` |
| the page closed | `page_closed` |
| the browser gives no picture of the page | `no_screenshot` |
| the browser process died or lost its connection | `browser_died` in every session it carried |
| the browser cannot be started | `browser_start` |
| the first page of an episode sends us outside the allow-list, in a circle, or cannot be shown | `start_failed` |
| a script of ours fails in a page | `script_failed` |
| the first page of an episode is outside the allow-list | `UserError` |

A name in code font is the kind of an `InfraError`: the episode ends as `infra_error` and counts in no metric. A step
error is text in the next observation; the step is consumed. After an `InfraError` a session takes nothing but `reset`.
"""

from dataclasses import dataclass

SERVER_DOWN = (
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_CONNECTION_CLOSED",
    "ERR_CONNECTION_FAILED",
    "ERR_CONNECTION_ABORTED",
    "ERR_CONNECTION_TIMED_OUT",
    "ERR_TIMED_OUT",
    "ERR_EMPTY_RESPONSE",
    "ERR_ADDRESS_UNREACHABLE",
    "ERR_NAME_NOT_RESOLVED",
    "ERR_INTERNET_DISCONNECTED",
    "ERR_NETWORK_CHANGED",
    "ERR_NETWORK_IO_SUSPENDED",
    "ERR_SOCKET_NOT_CONNECTED",
    "ERR_CONTENT_LENGTH_MISMATCH",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
    "ERR_INVALID_HTTP_RESPONSE",
    "ERR_HTTP2_PROTOCOL_ERROR",
)
"""Network errors of a navigation that are the server's fault (or the network's), not the agent's."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the driver waits for what, in seconds. None is a fixed sleep: each ends at the event it waits for.

    Attributes:
        navigation: until the server answers a navigation.
        settle: after that, until the page and its scripts' requests have loaded.
        restless: until a page that keeps changing by itself is observed anyway.
        wait: the longest that the action Wait waits for the page to change.
        step: a whole reset or step; a page that holds longer is hung.
        launch: the start of the browser.
    """

    navigation: float = 15.0
    settle: float = 3.0
    restless: float = 0.3
    wait: float = 1.0
    step: float = 40.0
    launch: float = 30.0


class StepError(Exception):
    """The action could not be carried out; nothing was done. The message stands in the next observation."""
