// The cases `steps` and `latency` of engine_benchmark on Restate: docs/performance.md.
//
//   node restate_peer.mjs FOLDER_OF_PACKAGES
//
// The handler runs in this process, which the server calls over HTTP/2 on loopback, as in any deployment of Restate.
import { createServer } from "node:http2";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { measure } from "./durable_cases.mjs";
import { inPlace } from "./peer_place.mjs";
import { startRestate } from "./restate_server.mjs";

const require = createRequire(process.argv[2] + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)));
const restate = await load("@restatedev/restate-sdk");

const bench = restate.service({
  name: "bench",
  handlers: {
    // The times of its steps. A run that Restate begins anew would lack those that it need not repeat, and is an error.
    run: async (ctx, steps) => {
      const times = [];
      for (let step = 0; step < steps; step++) {
        const began = performance.now();
        let worked = false;
        await ctx.run("value", () => {
          worked = true;
          return Math.random();
        });
        if (worked) times.push(performance.now() - began);
      }
      return times;
    },
  },
});

await inPlace(async (place) => {
  const handler = createServer(restate.createEndpointHandler({ services: [bench], logger: () => {} }));
  await new Promise((resolve) => handler.listen(0, "127.0.0.1", resolve));
  const server = await startRestate(place, require);
  await server.call("admin", "POST", "/deployments", { uri: `http://127.0.0.1:${handler.address().port}` });

  console.log(`Restate ${require("@restatedev/restate-server/package.json").version}, one node, its defaults`);
  console.log("  durable: a step is in the server's log, with an fsync, before the run goes on");
  await measure({ folder: place.folder, server: server.pid, run: (steps) => server.call("ingress", "POST", "/bench/run", steps) });
});
