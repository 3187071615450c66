// Asks before a large analysis, and tells telemetry what the user was shown and did: never awaited, and
// sent even when the page goes away. Without scripts the form has a box to tick instead.
const form = document.getElementById("analysis");
const dialog = document.getElementById("limit");
const box = form.elements.override;
const token = document.querySelector('meta[name="csrf-token"]').content;
let shown = null; // the warning on the screen: its id, once it is known, and what the user did

box.closest("label").hidden = true;

function tell(method, path, body) {
  return fetch(path, {
    method,
    keepalive: true,
    headers: { "Content-Type": "application/json", "X-CSRFToken": token },
    body: JSON.stringify(body),
  });
}

function show() {
  const warning = (shown = { id: null, action: null });
  dialog.showModal();
  tell("POST", "/api/track-warning", {
    warning_type: "batch_too_large",
    document_count: Number(form.dataset.count),
    limit: Number(form.dataset.limit),
    subject: form.dataset.subject,
  })
    .then((response) => (response.ok ? response.json() : Promise.reject(response.status)))
    .then((tracked) => {
      warning.id = tracked.warning_id;
      if (warning.action) answer(warning);
    })
    .catch(() => {}); // the page works without
}

function answer(warning) {
  tell("PATCH", `/api/track-warning/${warning.id}`, { user_action: warning.action }).catch(() => {});
}

function act(action) {
  if (!shown || shown.action) return;
  shown.action = action;
  if (shown.id !== null) answer(shown);
}

form.addEventListener("submit", (event) => {
  if (box.checked) return;
  event.preventDefault();
  show();
});

dialog.addEventListener("click", (event) => {
  const action = event.target.dataset.action;
  if (!action) return;
  act(action);
  dialog.close();
  if (action !== "override") return;
  box.checked = true;
  form.requestSubmit();
});

dialog.addEventListener("cancel", () => act("abandoned"));
addEventListener("pagehide", () => act("abandoned"));
