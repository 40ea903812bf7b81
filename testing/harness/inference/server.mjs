// A small OpenAI-compatible inference server for tests, on a free port of the loopback. It thinks nothing: the first message of the user says what to answer.
//
//   node server.mjs KEY
//
// POST /v1/chat/completions takes "Bearer KEY" and streams, as the public protocol has it. The first message of the user is JSON, one element for each turn (the
// messages of the assistant are counted); an element that is an array has one step for each attempt at that turn, the last one for all further ones. Any other
// message is answered with "You said: " and the message. A step:
//
//   text        what it says, piece by piece; "%results%" stands for what the tools answered
//   tools       [{name, arguments}]: calls, in one turn; arguments as a string are sent as they are
//   usage       [input, output] tokens; null sends none. [10, 5] when absent
//   finish      the finish_reason
//   status, headers, error    an answer of that HTTP status, with {"error": {"message": error}}
//   hold        waits for POST /test/go after the text
//   cut         ends the connection after the text, in the middle of the answer
//   events      in place of all that: data of events, sent as they are
//
// POST /test/hold {after, when}: the request that comes after so many others, counted from now on, waits "before" its answer begins or, as with hold, after
// its text ("within"); of one such order the last counts. GET /test/held: how many wait now.
// GET /test/requests: [{model, authorization, body, closed, ended}], oldest first; `closed` says that the client went away before the answer's end. GET
// /test/most: how many were under way at once, at most. Prints "listening ADDRESS".
import {createServer} from 'node:http';

const [key] = process.argv.slice(2);
const requests = [];
const attempts = new Map();
let held = [];
let toHold = null;
let underWay = 0;
let most = 0;

const chunk = (delta, finish = null) => JSON.stringify({
  id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'test',
  choices: [{index: 0, delta, finish_reason: finish}], usage: null,
});

// What this request shall get.
function stepOf(body, text) {
  const said = body.messages.find((message) => message.role === 'user')?.content ?? '';
  let turns;
  try {
    turns = JSON.parse(said);
  } catch {
    // Free text.
  }
  if (!Array.isArray(turns)) {
    return {text: `You said: ${said}`};
  }
  const turn = turns[Math.min(body.messages.filter((message) => message.role === 'assistant').length, turns.length - 1)];
  if (!Array.isArray(turn)) {
    return turn;
  }
  const attempt = attempts.get(text) ?? 0;
  attempts.set(text, attempt + 1);
  return turn[Math.min(attempt, turn.length - 1)];
}

// Until POST /test/go, or until the client is gone: false then.
async function hold(response) {
  await new Promise((resolve) => {
    held.push(resolve);
    response.on('close', () => {
      held = held.filter((other) => other !== resolve);
      resolve();
    });
  });
  return !response.destroyed;
}

async function answer(step, body, response, record) {
  let ordered = null;
  if (toHold !== null && toHold.after-- === 0) {
    ordered = toHold.when;
    toHold = null;
  }
  if (ordered === 'before' && !await hold(response)) {
    return;
  }
  if (step.status) {
    response.writeHead(step.status, {'Content-Type': 'application/json', ...step.headers});
    response.end(JSON.stringify({error: {message: step.error ?? 'no'}}));
    return;
  }
  response.writeHead(200, {'Content-Type': 'text/event-stream'});
  const send = (data) => response.write(`data: ${data}\n\n`);
  if (step.events) {
    step.events.forEach(send);
    response.end();
    return;
  }
  send(chunk({role: 'assistant', content: ''}));
  const results = body.messages.filter((message) => message.role === 'tool').map((message) => message.content);
  for (const piece of (step.text ?? '').replace('%results%', results.join(' ')).match(/.{1,7}/gsu) ?? []) {
    send(chunk({content: piece}));
  }
  if ((step.hold || ordered === 'within') && !await hold(response)) {
    return;
  }
  if (step.cut) {
    response.socket.destroySoon();
    return;
  }
  (step.tools ?? []).forEach(({name, arguments: given}, index) => {
    const text = typeof given === 'string' ? given : JSON.stringify(given ?? {});
    send(chunk({tool_calls: [{index, id: `call-${index}`, type: 'function', function: {name, arguments: ''}}]}));
    for (const piece of text.match(/.{1,9}/gs) ?? []) {
      send(chunk({tool_calls: [{index, function: {arguments: piece}}]}));
    }
  });
  send(chunk({}, step.finish ?? (step.tools ? 'tool_calls' : 'stop')));
  if (step.usage !== null) {
    const [prompt_tokens, completion_tokens] = step.usage ?? [10, 5];
    send(JSON.stringify({choices: [], usage: {prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens}}));
  }
  send('[DONE]');
  response.end();
  record.ended = true;
}

const server = createServer((request, response) => {
  if (request.url === '/test/requests') {
    response.end(JSON.stringify(requests));
    return;
  }
  if (request.url === '/test/most') {
    response.end(JSON.stringify(most));
    return;
  }
  if (request.url === '/test/held') {
    response.end(JSON.stringify(held.length));
    return;
  }
  if (request.url === '/test/go') {
    const waiting = held;
    held = [];
    waiting.forEach((resolve) => resolve());
    response.end('{}');
    return;
  }
  let text = '';
  request.on('data', (piece) => { text += piece; });
  request.on('end', () => {
    const body = JSON.parse(text);
    if (request.url === '/test/hold') {
      toHold = body;
      response.end('{}');
      return;
    }
    const record = {model: body.model, authorization: request.headers.authorization ?? '', body, closed: false, ended: false};
    requests.push(record);
    most = Math.max(most, ++underWay);
    response.on('close', () => {
      --underWay;
      record.closed = !response.writableFinished;
    });
    if (record.authorization !== `Bearer ${key}`) {
      response.writeHead(401, {'Content-Type': 'application/json'});
      response.end(JSON.stringify({error: {message: `Incorrect API key provided: ${record.authorization}`}}));
      return;
    }
    answer(stepOf(body, text), body, response, record);
  });
});
server.listen(0, '127.0.0.1', () => console.log(`listening http://127.0.0.1:${server.address().port}`));
