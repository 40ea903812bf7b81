// The cases `steps` and `latency` of engine_benchmark on DBOS with PostgreSQL: docs/performance.md.
//
//   node dbos_peer.mjs FOLDER_OF_PACKAGES FOLDER_OF_POSTGRES
//
// Workflows run in this process and store each step in the database; the pool has as many connections as DBOS takes by itself.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { measure } from "./durable_cases.mjs";
import { inPlace } from "./peer_place.mjs";
import { startPostgres } from "./postgres_server.mjs";

const require = createRequire(process.argv[2] + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { DBOS } = await load("@dbos-inc/dbos-sdk");
const { Client } = require("pg");

// What the server itself says of its settings.
async function durability(url) {
  const client = new Client(url);
  await client.connect();
  const show = async (name) => (await client.query(`SHOW ${name}`)).rows[0][name];
  const settings = [];
  for (const name of ["fsync", "synchronous_commit"]) settings.push(`${name} = ${await show(name)}`);
  const said = { version: await show("server_version"), settings: settings.join(", ") };
  await client.end();
  return said;
}

// The times of its steps.
const run = DBOS.registerWorkflow(
  async (steps) => {
    const times = [];
    for (let step = 0; step < steps; step++) {
      const began = performance.now();
      await DBOS.runStep(async () => Math.random(), { name: "value" });
      times.push(performance.now() - began);
    }
    return times;
  },
  { name: "run" },
);

await inPlace(async (place) => {
  const server = await startPostgres(place, process.argv[3]);
  const host = encodeURIComponent(server.socket);
  const url = `postgresql://bench@localhost/bench?host=${host}`;
  DBOS.setConfig({ name: "bench", systemDatabaseUrl: url, logLevel: "error" });
  await DBOS.launch();

  const { version, settings } = await durability(url);
  const sdk = JSON.parse(readFileSync(join(process.argv[2], "node_modules/@dbos-inc/dbos-sdk/package.json"), "utf8"));
  console.log(`DBOS ${sdk.version} on PostgreSQL ${version}, both with their defaults`);
  console.log(`  durable: a step is committed (${settings}) before the run goes on`);
  await measure({ folder: place.folder, server: server.pid, run: (steps) => run(steps) });
  await DBOS.shutdown();
});
