// The cases `steps` and `latency` of engine_benchmark for the durable engines of others: 256 runs at once of 100 steps each,
// and the steps of one run alone. A step journals a number; the engine may go on when it is durable.
import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { processorOf } from "./peer_place.mjs";

const AT_ONCE = 256;
const STEPS = 100;
const ROUNDS = 3;
const STEPS_ALONE = 2000;
// No further round begins after that.
const SECONDS = 90;

function percentiles(times) {
  times.sort((left, right) => left - right);
  const at = (part) => Math.round(times[Math.floor(part * (times.length - 1))] * 1000);
  return `p50 ${at(0.5)} us, p90 ${at(0.9)} us, p99 ${at(0.99)} us`;
}

// What the disk takes for 8 KiB that replace others: the second of two passes.
function disk(folder) {
  const path = join(folder, "fsync");
  const file = openSync(path, "w");
  const block = Buffer.alloc(8192, "b");
  let times;
  for (let pass = 0; pass < 2; pass++) {
    times = [];
    for (let i = 0; i < 200; i++) {
      const began = performance.now();
      writeSync(file, block, 0, block.length, i * block.length);
      fdatasyncSync(file);
      times.push(performance.now() - began);
    }
  }
  closeSync(file);
  unlinkSync(path);
  console.log(`  the disk's own fdatasync meanwhile: ${percentiles(times)}`);
}

// `run(steps)` does one run and returns the milliseconds that each of its steps took; `server` is the process that stores.
export async function measure({ folder, server, run }) {
  const runs = (count, steps) =>
    Promise.all(
      Array.from({ length: count }, async () => {
        const times = await run(steps);
        if (times.length !== steps) throw new Error(`a run of ${steps} steps has ${times.length}`);
        return times;
      }),
    );
  await runs(AT_ONCE, 5);

  let best = Infinity;
  let ours = Infinity;
  let theirs = Infinity;
  let rounds = 0;
  const all = AT_ONCE * STEPS;
  const first = performance.now();
  while (rounds < ROUNDS && performance.now() - first < SECONDS * 1000) {
    const before = processorOf(server);
    const cpu = process.cpuUsage();
    const began = performance.now();
    await runs(AT_ONCE, STEPS);
    best = Math.min(best, (performance.now() - began) / 1000);
    const used = process.cpuUsage(cpu);
    ours = Math.min(ours, (used.user + used.system) / all);
    theirs = Math.min(theirs, ((processorOf(server) - before) * 1e6) / all);
    rounds++;
  }
  console.log(
    `  steps (a journalled value): ${AT_ONCE} runs x ${STEPS}: ${Math.round(all / best)} steps/s (${best.toFixed(2)} s, ` +
      `${Math.round(theirs)} us of processor a step in the server and ${Math.round(ours)} in node; the best of ${rounds} rounds)`,
  );
  disk(folder);

  const [times] = await runs(1, STEPS_ALONE);
  console.log(`  latency of one run's step: ${percentiles(times)}`);
  disk(folder);
}
