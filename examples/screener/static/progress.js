// Shows how far the analysis is, and the result once it has ended.
const box = document.getElementById("progress");

async function refresh() {
  const response = await fetch(box.dataset.status, { headers: { Accept: "application/json" } });
  if (!response.ok) return;
  const status = await response.json();
  box.querySelector("progress").value = status.progress;
  box.querySelector("[data-stage]").textContent = status.stage || "waiting";
  if (status.state === "completed" || status.state === "failed") location.reload();
}

setInterval(refresh, 1000);
