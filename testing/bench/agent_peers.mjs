// The graph of engine_benchmark's case `graph` in LangGraph JS, for the side-by-side run of agent_peers: docs/performance.md.
//
//   node agent_peers.mjs FOLDER_OF_PACKAGES
//
// One call of a fake model that asks for three tools, then the three side by side. All in memory: nothing is durable, and
// neither model nor tools take time, so that what is measured is the framework.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.argv[2] + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { Annotation, END, MemorySaver, Send, START, StateGraph } = await load("@langchain/langgraph");

const State = Annotation.Root({
  question: Annotation(),
  calls: Annotation(),
  found: Annotation({ reducer: (left, right) => left.concat(right), default: () => [] }),
});

function graph(checkpointer) {
  return new StateGraph(State)
    .addNode("model", async () => ({ calls: [1, 2, 3].map((place) => ({ tool: "look", input: { place } })) }))
    .addNode("look", async (call) => ({ found: [{ echo: call.input }] }))
    .addEdge(START, "model")
    .addConditionalEdges("model", (state) => state.calls.map((call) => new Send("look", call)), ["look"])
    .addEdge("look", END)
    .compile({ checkpointer });
}

const AT_ONCE = 64;
const ROUND = 1000;
const ROUNDS = 5;

async function measure(what, compiled, thread) {
  let next = 0;
  async function worker(until) {
    while (next < until) {
      const run = next++;
      const state = await compiled.invoke(
        { question: "what is in the three places?" },
        thread ? { configurable: { thread_id: `run-${run}` } } : undefined,
      );
      if (state.found.length !== 3) throw new Error("a run without its three results");
    }
  }
  let best = Infinity;
  let processor = Infinity;
  await worker(200);
  for (let round = 0; round < ROUNDS; round++) {
    const until = next + ROUND;
    const cpu = process.cpuUsage();
    const began = performance.now();
    await Promise.all(Array.from({ length: AT_ONCE }, () => worker(until)));
    best = Math.min(best, (performance.now() - began) / 1000);
    const used = process.cpuUsage(cpu);
    processor = Math.min(processor, (used.user + used.system) / ROUND);
  }
  console.log(`${what}: ${Math.round(ROUND / best)} runs/s, ${Math.round(processor)} us of processor a run (the best of ${ROUNDS} rounds)`);
}

console.log("LangGraph JS, the same graph: a model call, three tools, in memory");
await measure("  without a checkpointer", graph(), false);
await measure("  with MemorySaver", graph(new MemorySaver()), true);
