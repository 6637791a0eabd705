"use strict";
// Requests to the server. A refusal is an error, with what the server says of it.

async function ask(path, options) {
  const answer = await fetch(path, options);
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const { detail } = content;
    const text = typeof detail === "string" ? detail : `the server refused the request (${answer.status})`;
    throw Object.assign(new Error(text), { now: content.now });
  }
  return content;
}

function post(path, content) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
}
