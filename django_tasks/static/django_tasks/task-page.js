// Keeps a task's page up to date until the task has finished. Without it, people reload.
"use strict";

// The admin loads scripts before the page that they are for.
document.addEventListener("DOMContentLoaded", function () {
    const LONGEST_PAUSE = 30; // seconds
    const BACK_OFF = 1.5;
    const TIMEOUT = 30; // seconds
    const page = document.getElementById("task-page");
    if (!page || !page.dataset.pause) {
        return; // another page, or nothing more is to come
    }
    const news = document.getElementById("task-news");
    let pause = Number(page.dataset.pause);
    let failures = 0;
    let isAsking = false;
    let timer;

    async function renew() {
        clearTimeout(timer);
        if (isAsking || document.hidden || !pause) {
            return;
        }
        isAsking = true;
        try {
            await take(await fetch(page.dataset.url, {
                cache: "no-store",
                redirect: "error", // to the login
                signal: AbortSignal.timeout(TIMEOUT * 1000),
            }));
        } catch {
            failures += 1;
        }
        isAsking = false;
        page.classList.toggle("task-stale", failures > 1);
        tell();
        wait();
    }

    async function take(response) {
        if (response.ok) {
            const fresh = document.createElement("template");
            fresh.innerHTML = await response.text();
            morph(page, fresh.content);
            pause = Number(response.headers.get("Retry-After"));
            failures = 0;
        } else if (response.status === 403 || response.status === 404) {
            pause = 0; // it was deleted, or nobody may look any more
            failures = 2;
        } else {
            failures += 1;
        }
    }

    function wait() {
        if (pause) {
            const longer = Math.min(pause * BACK_OFF ** failures, LONGEST_PAUSE);
            timer = setTimeout(renew, Math.max(pause, longer) * 1000);
        }
    }

    // For screen readers: another status, or that the page is out of date.
    function tell() {
        const status = page.querySelector(".task-state .task-badge").textContent;
        const text = failures > 1 ? page.dataset.failure : status;
        if (news.textContent !== text) {
            news.textContent = text;
        }
        news.classList.toggle("visually-hidden", failures < 2);
    }

    document.addEventListener("visibilitychange", renew);
    wait();
});

// Make the children of `old` those of `fresh`, and keep what stayed the same: with it stay the
// focus, what is selected, how far blocks are scrolled, and which details are open.
function morph(old, fresh) {
    const wanted = [...fresh.childNodes];
    wanted.forEach((node, index) => {
        const present = old.childNodes[index];
        if (!present) {
            old.append(node);
        } else if (present.nodeName !== node.nodeName) {
            present.replaceWith(node);
        } else if (node.nodeType === Node.ELEMENT_NODE) {
            takeAttributes(present, node);
            morph(present, node);
        } else if (present.nodeValue !== node.nodeValue) {
            present.nodeValue = node.nodeValue;
        }
    });
    while (old.childNodes.length > wanted.length) {
        old.lastChild.remove();
    }
}

function takeAttributes(old, fresh) {
    for (const { name, value } of fresh.attributes) {
        if (name !== "open" && old.getAttribute(name) !== value) {
            old.setAttribute(name, value);
        }
    }
    for (const { name } of [...old.attributes]) {
        if (name !== "open" && !fresh.hasAttribute(name)) {
            old.removeAttribute(name);
        }
    }
}
