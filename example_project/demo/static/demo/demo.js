"use strict";

// Keeps the lists of runs up to date: asks for them often while a task is unfinished, seldom when
// all are done, and not at all while the page is hidden. Without this script the page works too.

const BUSY_MS = 500;
const IDLE_MS = 3000;
const shown = new Map(); // run id -> the HTML that the page shows
let timer = 0;
let asking = false;

function element(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

function announce(item) {
  const word = item.querySelector(".chip").textContent;
  const label = item.querySelector(".label").textContent;
  document.getElementById("news").textContent = `${label}: ${word}`;
}

function place(list, index, run) {
  let item = list.querySelector(`[data-run="${run.id}"]`);
  if (!item || shown.get(run.id) !== run.html) {
    const fresh = element(run.html);
    if (item && item.dataset.state !== fresh.dataset.state) {
      announce(fresh);
    }
    if (item) {
      item.replaceWith(fresh);
    }
    item = fresh;
    shown.set(run.id, run.html);
  }
  if (list.children[index] !== item) {
    list.insertBefore(item, list.children[index] || null);
  }
}

function showRuns(list, runs) {
  runs.forEach((run, index) => place(list, index, run));
  while (list.children.length > runs.length) {
    list.lastElementChild.remove();
  }
}

function countDown() {
  for (const time of document.querySelectorAll("time.due")) {
    const seconds = Math.ceil((new Date(time.dateTime) - Date.now()) / 1000);
    time.textContent = seconds > 0 ? `in ${seconds} s` : "now";
  }
}

async function refresh() {
  clearTimeout(timer);
  if (asking || document.hidden) {
    return;
  }
  asking = true;
  let wait = IDLE_MS;
  try {
    const response = await fetch(document.body.dataset.stateUrl);
    if (response.ok) {
      const state = await response.json();
      for (const [card, runs] of Object.entries(state.cards)) {
        showRuns(document.querySelector(`[data-card="${card}"]`), runs);
      }
      document.getElementById("worker").innerHTML = state.worker;
      document.querySelector("#schedules .slots").innerHTML = state.schedules;
      countDown();
      wait = state.busy ? BUSY_MS : IDLE_MS;
    }
  } catch (error) {
    console.warn("The demo's web server does not answer; asking again.", error);
  } finally {
    asking = false;
    timer = setTimeout(refresh, wait);
  }
}

async function start(event) {
  event.preventDefault();
  const form = event.target;
  const button = event.submitter;
  const message = button.closest(".card").querySelector(".error");
  const body = new FormData(form, button);
  button.disabled = true;
  try {
    const response = await fetch(button.getAttribute("formaction") || form.action, {
      method: "POST",
      body,
      headers: { Accept: "application/json" },
    });
    const answer = response.status === 400 ? await response.json() : {};
    message.textContent = response.ok ? "" : answer.error || `The server answered ${response.status}.`;
    if (response.ok && form.querySelector("input[type=file]")) {
      form.reset();
    }
  } catch (error) {
    message.textContent = "The demo's web server does not answer.";
  } finally {
    message.hidden = !message.textContent;
    button.disabled = false;
    refresh();
  }
}

document.addEventListener("submit", start);
document.addEventListener("visibilitychange", refresh);
setInterval(countDown, 250);
refresh();
