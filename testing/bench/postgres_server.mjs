// A PostgreSQL server on a folder of its own, as initdb makes it: fsync and synchronous_commit are on. It listens on a Unix
// socket in that folder only.
import { userInfo } from "node:os";
import { join } from "node:path";
import { until } from "./peer_place.mjs";

const NOBODY = 65534;

// PostgreSQL refuses to run as root. In a user namespace root is another, and still owns its files.
function asNobody(program, args) {
  if (userInfo().uid !== 0) return [program, args];
  return ["unshare", ["--user", `--map-user=${NOBODY}`, `--map-group=${NOBODY}`, program, ...args]];
}

// `postgres` is the folder with initdb and postgres. Returns the folder of the socket.
export async function startPostgres(place, postgres) {
  const data = join(place.folder, "data");
  const start = (name, args, options) => place.start(name, ...asNobody(join(postgres, name), args), options);

  const made = start("initdb", ["-D", data, "--username=bench", "--auth=trust", "--locale=C.UTF-8", "--encoding=UTF8"]);
  if ((await made.exited) !== 0) throw new Error(`initdb failed:\n${made.said()}`);

  const settings = ["-c", "listen_addresses=", "-c", `unix_socket_directories=${place.folder}`];
  // SIGINT ends sessions instead of waiting for them.
  const server = start("postgres", ["-D", data, ...settings], { ends: "SIGINT" });
  await until("PostgreSQL", server, async () => server.said().includes("ready to accept connections"));
  return { pid: server.pid, socket: place.folder };
}
