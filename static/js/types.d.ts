/* The part of htmx that the modules use, and its events. */

interface HtmxRequest {
  elt: HTMLElement;
  verb: string;
  parameters: Record<string, string | undefined>;
}

interface HtmxDetail {
  elt: HTMLElement;
  target: HTMLElement;
  xhr: XMLHttpRequest;
  requestConfig: HtmxRequest;
  pathInfo: { finalRequestPath: string };
  successful?: boolean;
}

type HtmxEvent = CustomEvent<HtmxDetail>;

interface ToastLink {
  href: string;
  text: string;
}

interface Toast {
  level: string;
  text: string;
  undo?: string;
  links?: ToastLink[];
}

interface ConsoleEvents {
  "htmx:configRequest": CustomEvent<HtmxRequest & { headers: Record<string, string> }>;
  "htmx:beforeRequest": HtmxEvent;
  "htmx:beforeSend": HtmxEvent;
  "htmx:beforeSwap": CustomEvent<HtmxDetail & { shouldSwap: boolean; serverResponse: string }>;
  "htmx:afterSwap": HtmxEvent;
  "htmx:oobAfterSwap": HtmxEvent;
  "htmx:afterSettle": CustomEvent<Partial<HtmxDetail> & { elt: HTMLElement }>;
  "htmx:afterRequest": HtmxEvent;
  "htmx:responseError": HtmxEvent;
  "htmx:sendError": HtmxEvent;
  "htmx:load": CustomEvent<{ elt: HTMLElement }>;
  "htmx:beforeHistoryUpdate": CustomEvent<HtmxDetail & { history: { type: "push" | "replace"; path: string } }>;
  toasts: CustomEvent<{ value?: Toast[]; toasts?: Toast[] }>;
}
interface DocumentEventMap extends ConsoleEvents {}
interface HTMLElementEventMap extends ConsoleEvents {}

declare const htmx: {
  ajax(verb: string, url: string, context: { target: Element; source?: Element; swap: string }): Promise<void>;
  process(element: Element): void;
  swap(target: Element, content: string, specification: { swapStyle: string }): void;
  trigger(element: Element, name: string, detail: object): void;
};
