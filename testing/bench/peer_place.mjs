// A temporary folder and the programs that run on it. However a benchmark of this folder ends (done, failed, interrupted, too
// slow), the programs are ended by their ids and the folder is gone.
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MINUTES = 15;
const ENDING_MS = 15_000;

class Place {
  folder = mkdtempSync(join(tmpdir(), "bulkhead-peer."));
  #programs = [];
  #closed = false;

  // Starts a program with its output in a file. `ends` is the signal that it ends on.
  start(name, program, args, { env = {}, ends = "SIGTERM" } = {}) {
    if (this.#closed) throw new Error(`too late to start ${name}`);
    const log = join(this.folder, `${name}.log`);
    const out = openSync(log, "a");
    const child = spawn(program, args, { cwd: this.folder, env: { ...process.env, ...env }, stdio: ["ignore", out, out] });
    closeSync(out);
    const exited = new Promise((resolve) => {
      child.on("exit", resolve);
      child.on("error", resolve);
    });
    const started = { name, child, ends, log, exited };
    this.#programs.push(started);
    return {
      pid: child.pid,
      exited,
      mayEnd: () => this.#closed,
      ended: () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined,
      said: () => readFileSync(log, "utf8").split("\n").slice(-30).join("\n"),
    };
  }

  async close() {
    this.#closed = true;
    for (const { child, ends, exited } of this.#programs.splice(0).reverse()) {
      if (child.pid === undefined) continue;
      child.kill(ends);
      const late = setTimeout(() => child.kill("SIGKILL"), ENDING_MS);
      await exited;
      clearTimeout(late);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// Calls `work` with a place, ends everything, and with it this process.
export async function inPlace(work) {
  const place = new Place();
  let ending;
  const end = (code) => (ending ??= place.close().finally(() => process.exit(code)));
  const fail = (why) => {
    console.error(why);
    return end(1);
  };
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) process.on(signal, () => fail(`ended by ${signal}`));
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  setTimeout(() => fail(`not done after ${MINUTES} minutes`), MINUTES * 60_000).unref();
  try {
    await work(place);
    await end(0);
  } catch (error) {
    await fail(error);
  }
}

// Tries until `attempt` is true, as long as the program runs. If it ends later, before the place is closed, that is a failure.
export async function until(what, program, attempt) {
  const last = performance.now() + 60_000;
  while (!(await attempt().catch(() => false))) {
    if (program.ended() || performance.now() > last) throw new Error(`${what} did not start:\n${program.said()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  program.exited.then(() => {
    if (!program.mayEnd()) throw new Error(`${what} has ended:\n${program.said()}`);
  });
}

// Seconds of processor time that a process and all below it have used.
export function processorOf(root) {
  const processes = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
      // In ticks of 10 ms: user, system, and both of the children that have ended.
      processes.set(Number(pid), { parent: fields[1], seconds: (fields[11] + fields[12] + fields[13] + fields[14]) / 100 });
    } catch {
      // It has just ended.
    }
  }
  const within = (pid) => pid === root || (processes.has(pid) && within(processes.get(pid).parent));
  return [...processes].filter(([pid]) => within(pid)).reduce((sum, [, { seconds }]) => sum + seconds, 0);
}
