"use strict";
for (const figure of document.querySelectorAll(".recording")) {
  const sound = figure.querySelector("audio"), button = figure.querySelector("button");
  if (!sound) continue;
  const head = figure.querySelector(".head"), drawing = figure.querySelector("svg");
  const show = () => {
    const at = sound.duration ? 1160 * sound.currentTime / sound.duration : 0;
    head.setAttribute("x1", at); head.setAttribute("x2", at);
    button.textContent = sound.paused ? "▶" : "❚❚";
    if (!sound.paused) requestAnimationFrame(show);
  };
  button.addEventListener("click", () => sound.paused ? sound.play() : sound.pause());
  drawing.addEventListener("click", (event) => {
    const box = drawing.getBoundingClientRect();
    if (sound.duration) sound.currentTime = sound.duration * (event.clientX - box.left) / box.width;
    show();
  });
  for (const name of ["play", "pause", "ended"]) sound.addEventListener(name, show);
}
