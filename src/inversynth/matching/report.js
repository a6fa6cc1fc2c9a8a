"use strict";
(() => {
  const all = (query) => [...document.querySelectorAll(query)];
  const players = all("audio"), choices = all("[data-sound]");
  const play = document.getElementById("play"), place = document.getElementById("place");
  const loop = document.getElementById("loop");
  let context, ready, buffers = [], gains = [], sources = [];
  let chosen = 0, other = 1, start = 0, offset = 0, playing = false, looped = true;
  let seconds = Number(document.querySelector(".seek").dataset.seconds);

  // All sounds run at once from the same moment; all but the chosen one are silent.
  async function prepare() {
    context = new AudioContext();
    buffers = await Promise.all(players.map((player) => {
      const text = atob(player.src.slice(player.src.indexOf(",") + 1));
      return context.decodeAudioData(Uint8Array.from(text, (c) => c.charCodeAt(0)).buffer);
    }));
    seconds = buffers[0].duration;
    gains = buffers.map((_, i) => {
      const gain = context.createGain();
      gain.gain.value = Number(i === chosen);
      gain.connect(context.destination);
      return gain;
    });
  }
  const now = () => {
    const at = offset + (playing ? Math.max(0, context.currentTime - start) : 0);
    return looped ? at % seconds : Math.min(at, seconds);
  };
  function stop() {
    offset = now();
    sources.forEach((source) => source.stop());
    sources = [];
    playing = false;
    show();
  }
  async function run() {
    try {
      await (ready ??= prepare());
      await context.resume();
    } catch (error) {
      document.documentElement.classList.remove("js");  // the browser's own players are left
      return;
    }
    if (playing) return;
    if (offset >= seconds) offset = 0;
    start = context.currentTime + 0.01;
    sources = buffers.map((buffer, i) => {
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.loop = looped;
      source.connect(gains[i]);
      source.start(start, offset);
      return source;
    });
    playing = true;
    show();
    requestAnimationFrame(tick);
  }
  function tick() {
    if (!playing) return;
    if (!looped && now() >= seconds) stop();
    show();
    requestAnimationFrame(tick);
  }
  function show() {
    const at = now() / seconds;
    document.documentElement.style.setProperty("--at", at);
    place.value = at;
    play.textContent = playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", playing ? "pause" : "play");
  }
  function choose(i) {
    if (i !== chosen) other = chosen;
    chosen = i;
    choices.forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.sound) === i)));
    gains.forEach((gain, j) => gain.gain.setTargetAtTime(Number(j === i), context.currentTime, 0.004));
  }
  function seek(part) {
    const again = playing;
    if (again) stop();
    offset = Math.min(Math.max(part, 0), 1) * seconds;
    show();
    if (again) run();
  }
  function setLoop(value) {
    const again = playing;
    if (again) stop();
    looped = value;
    loop.setAttribute("aria-pressed", String(value));
    if (again) run();
  }

  play.addEventListener("click", () => playing ? stop() : run());
  loop.addEventListener("click", () => setLoop(!looped));
  place.addEventListener("input", () => seek(Number(place.value)));
  choices.forEach((button) => button.addEventListener("click", () => {
    choose(Number(button.dataset.sound));
    if ("play" in button.dataset) run();
  }));
  all(".seek").forEach((plot) => {
    const readout = plot.querySelector("output");
    plot.addEventListener("click", (event) => seek(event.offsetX / plot.clientWidth));
    plot.addEventListener("pointermove", (event) => {
      const at = event.offsetX / plot.clientWidth * plot.dataset.seconds;
      const khz = (1 - event.offsetY / plot.clientHeight) * plot.dataset.khz;
      readout.textContent = `${at.toFixed(2)} s, ${Math.round(1000 * khz)} Hz`;
    });
    plot.addEventListener("pointerleave", () => { readout.textContent = ""; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase(), sound = ["a", "b", ...Array.from("23456789")].indexOf(key);
    if (key === " " && !event.target.closest("button")) playing ? stop() : run();
    else if (sound >= 0 && sound < players.length) choose(sound);
    else if (key === "x") choose(other);
    else if (key === "l") setLoop(!looped);
    else if (key.startsWith("arrow") && event.target !== place && /left|right/.test(key))
      seek(now() / seconds + (key === "arrowleft" ? -0.05 : 0.05));
    else return;
    event.preventDefault();
  });
  document.documentElement.classList.toggle("js", "AudioContext" in window);
})();
