// A Restate server of one node on a folder of its own, with its own defaults: everything in RocksDB, its log fsynced before a
// step counts. It is reached by Unix sockets, so it takes no port; it reports nothing to its makers.
import { request } from "node:http";
import { join } from "node:path";
import { until } from "./peer_place.mjs";

export async function startRestate(place, require) {
  const program = require.resolve(`@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`);
  const server = place.start(
    "restate",
    program,
    ["--no-logo", "--listen-mode", "unix", "--base-dir", "restate", "--node-name", "bench"],
    { env: { DO_NOT_TRACK: "1", RESTATE_DISABLE_TELEMETRY: "true" } },
  );

  // The answer's JSON; `socket` is "admin" or "ingress".
  const call = (socket, method, path, body) =>
    new Promise((resolve, reject) => {
      const socketPath = join(place.folder, "restate", "bench", `${socket}.sock`);
      const headers = { "content-type": "application/json" };
      const sent = request({ socketPath, method, path, headers }, (answer) => {
        const parts = [];
        answer.on("data", (part) => parts.push(part));
        answer.on("error", reject);
        answer.on("end", () => {
          const text = Buffer.concat(parts).toString();
          if (answer.statusCode >= 300) reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
          else resolve(text === "" ? undefined : JSON.parse(text));
        });
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });

  await until("Restate", server, () => call("admin", "GET", "/health").then(() => true));
  return { pid: server.pid, call };
}
