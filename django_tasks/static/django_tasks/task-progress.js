// <task-progress src="/tasks/progress/…/">: keeps the state of a background task up to date.
//
// Asks more and more seldom while nothing changes, not at all while the page is hidden, and no
// more once the task has finished. Its events bubble and have the server's answer as `detail`:
// task-progress (something changed), task-finished, and task-unavailable (the link has expired,
// or there is no such task).

const LONGEST_PAUSE = 30; // seconds, unless the server asks for more
const BACK_OFF = 1.5;
const TIMEOUT = 30; // seconds
const WORTH_ANOTHER_TRY = [408, 425, 429];

class TaskProgress extends HTMLElement {
  static observedAttributes = ["src"];

  #timer = 0;
  #request = null; // the AbortController of the one under way
  #etag = "";
  #unchanged = 0; // answers in a row that brought nothing new
  #announced = "";

  get src() {
    return this.getAttribute("src") ?? "";
  }

  set src(url) {
    this.setAttribute("src", url);
  }

  connectedCallback() {
    document.addEventListener("visibilitychange", this.#resume);
    this.#resume();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.#resume);
    this.#stop();
  }

  attributeChangedCallback(name, before) {
    if (before !== null) {
      this.#stop();
      this.#etag = "";
      this.#unchanged = 0;
      this.removeAttribute("finished");
    }
    if (this.isConnected) {
      this.#resume();
    }
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#request = null;
  }

  #resume = () => {
    clearTimeout(this.#timer);
    if (this.src && !this.hasAttribute("finished") && !this.#request && !document.hidden) {
      this.#poll();
    }
  };

  async #poll() {
    const request = new AbortController();
    this.#request = request;
    const answer = await ask(this.src, this.#etag, request.signal);
    if (request.signal.aborted) {
      return;
    }
    this.#request = null;
    this.#take(answer);
  }

  #take({ status, etag, pause, report }) {
    if (isFinal(status)) {
      this.#giveUp(report);
      return;
    }
    if (status === 200 && report) {
      this.#etag = etag;
      this.#unchanged = 0;
      this.#show(report);
    } else {
      this.#unchanged += 1;
    }
    this.#schedule(pause);
  }

  #schedule(pause) {
    if (this.hasAttribute("finished") || !this.isConnected || document.hidden || this.#request) {
      return;
    }
    const least = pause > 0 ? pause : 1;
    const longer = Math.min(least * BACK_OFF ** this.#unchanged, LONGEST_PAUSE);
    const spread = 1 + Math.random() / 10; // so that many pages do not ask at the same moment
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#resume, Math.max(least, longer) * spread * 1000);
  }

  #show(report) {
    const bar = this.#part("progress", "task-progress-bar");
    if (report.percent === null && report.record_status === "RUNNING") {
      bar.removeAttribute("value"); // at work, nobody knows how far
    } else {
      bar.value = report.percent ?? 0;
    }
    this.setAttribute("status", report.record_status.toLowerCase());
    this.toggleAttribute("finished", report.finished);
    this.#part("span", "task-progress-text").textContent = report.text;
    this.#announce(report);
    this.#tell("task-progress", report);
    if (report.finished) {
      this.#tell("task-finished", report);
    }
  }

  #announce({ label, percent, text }) {
    // A reader that speaks each step would never stop: a new word, and each quarter of the way.
    const step = `${label} ${Math.floor((percent ?? 0) / 25)}`;
    if (step !== this.#announced) {
      this.#announced = step;
      this.#part("span", "task-progress-news").textContent = text;
    }
  }

  #giveUp(report) {
    this.setAttribute("status", "unavailable");
    this.toggleAttribute("finished", true);
    if (report?.detail) {
      this.#part("span", "task-progress-text").textContent = report.detail;
      this.#part("span", "task-progress-news").textContent = report.detail;
    }
    this.#tell("task-unavailable", report);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #part(tag, className) {
    if (!this.querySelector(".task-progress-bar")) {
      this.append(...newParts(this.getAttribute("label")));
    }
    return this.querySelector(`${tag}.${className}`);
  }
}

// Return the status, 0 when there was no answer, and what came with it.
async function ask(url, etag, signal) {
  const headers = { Accept: "application/json" };
  if (etag) {
    headers["If-None-Match"] = etag;
  }
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT * 1000)]);
  try {
    const response = await fetch(url, { headers, cache: "no-store", signal: limit });
    const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
    return {
      status: response.status,
      etag: response.headers.get("ETag") ?? "",
      pause: Number(response.headers.get("Retry-After")),
      report: isJson ? await response.json() : null,
    };
  } catch {
    return { status: 0 }; // offline, or the server restarts: the next time may tell
  }
}

function isFinal(status) {
  return status >= 400 && status < 500 && !WORTH_ANOTHER_TRY.includes(status);
}

// Return what the template tag writes, for an element that a script made.
function newParts(label) {
  const bar = newPart("progress", "task-progress-bar");
  bar.max = 100;
  bar.ariaLabel = label || "Progress";
  const news = newPart("span", "task-progress-news");
  news.role = "status";
  const parts = [bar, newPart("span", "task-progress-text"), news];
  return label ? [newPart("span", "task-progress-label", label), ...parts] : parts;
}

function newPart(tag, className, text = "") {
  const part = document.createElement(tag);
  part.className = className;
  part.textContent = text;
  return part;
}

if (!customElements.get("task-progress")) {
  customElements.define("task-progress", TaskProgress);
}
