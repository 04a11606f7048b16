// Starts the page: what is served, whether it can be taught, and the key where one is asked for.

import { onKeyWanted, setKey } from "./api.js";
import { startChat } from "./chat.js";
import { byId, complain } from "./dom.js";
import { loadHeads } from "./heads.js";
import { startScorer } from "./score.js";
import { loadTeaching, startTeaching } from "./teach.js";

async function load() {
  try {
    complain("");
    await loadHeads();
    await loadTeaching();
  } catch (error) {
    byId("model").textContent = "";
    complain(error.message);
  }
}

onKeyWanted(() => {
  byId("key-form").hidden = false;
  byId("key").focus();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = byId("key").value.trim();
  if (!/^[\x21-\x7e]*$/.test(key)) return complain("A key has letters, digits and signs of ASCII alone.");
  setKey(key);
  byId("key").value = "";
  byId("key-form").hidden = true;
  byId("prompt").focus();
  load();
});
startChat();
startScorer();
startTeaching();
load();
