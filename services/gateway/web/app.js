'use strict';
// The console: one page over the public HTTP and WebSocket interface. Whatever comes from a server is set as text, never as markup.

const $ = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// --- Session: tokens live as long as the tab. ---

const session = {
  get: () => JSON.parse(sessionStorage.getItem('bulkhead') || 'null'),
  set: (tokens) => sessionStorage.setItem('bulkhead', JSON.stringify(tokens)),
  clear: () => sessionStorage.removeItem('bulkhead'),
};

class ApiError extends Error {
  constructor(status, error) {
    super(error?.message || `HTTP ${status}`);
    this.status = status;
    this.reason = error?.details?.find((detail) => detail.reason)?.reason;
  }
}

let refreshing = null;

async function send(method, path, {body, headers = {}, again = true} = {}) {
  const tokens = session.get();
  if (tokens) headers.Authorization = `Bearer ${tokens.accessToken}`;
  const response = await fetch(path, {method, headers, body});
  if (response.status === 401 && tokens && again) {
    refreshing ||= refresh(tokens).finally(() => { refreshing = null; });
    await refreshing;
    return send(method, path, {body, headers, again: false});
  }
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new ApiError(response.status, answer.error);
  }
  return response;
}

async function call(method, path, json) {
  const options = json === undefined ? {} : {body: JSON.stringify(json), headers: {'Content-Type': 'application/json'}};
  return (await send(method, path, options)).json();
}

async function refresh(tokens) {
  const response = await fetch('/v1/sessions:refresh', {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({refreshToken: tokens.refreshToken}),
  });
  if (!response.ok) {
    signOut();
    throw new ApiError(401, {message: 'Your session has ended. Sign in again.'});
  }
  session.set({...tokens, ...await response.json()});
}

$('sign-in').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target;
  const error = form.querySelector('.error');
  error.textContent = '';
  const login = form.login.value.trim().toLowerCase();
  const password = form.password.value;
  try {
    session.clear();
    if (event.submitter?.value === 'register') await call('POST', '/v1/users', {login, password});
    session.set({...await call('POST', '/v1/sessions:signIn', {login, password}), login});
    form.reset();
    show();
  } catch (e) {
    error.textContent = e.message;
  }
});

// --- OpenID providers: the browser goes there and comes back to /v1/oidc/callback, where this page is served too. ---

let providers = [];

function providerButtons(text, link) {
  return providers.map(({name, displayName}) => element('button', {
    type: 'button', className: 'quiet', textContent: `${text} ${displayName}`, onclick: () => leaveFor(name, link),
  }));
}

async function leaveFor(provider, link) {
  try {
    if (!link) session.clear();
    const {authorizationUri} = await call('POST', `/v1/oidc/${encodeURIComponent(idOf(provider))}/start`, {link});
    location.assign(authorizationUri);
  } catch (e) {
    fail(e);
  }
}

// Wherever the user is.
function fail(e) {
  document.querySelector(session.get() ? '#account .error' : '#sign-in .error').textContent = e.message;
}

async function comeBack() {
  if (location.pathname !== '/v1/oidc/callback') return;
  const redirectQuery = location.search.slice(1);
  // Out of the address, and so out of the history, before anything else happens.
  history.replaceState(null, '', '/');
  try {
    const body = JSON.stringify({redirectQuery});
    const response = await send('POST', '/v1/oidc/callback', {body, headers: {'Content-Type': 'application/json'}, again: false});
    const tokens = await response.json();
    if (!tokens.accessToken) return;  // An identity was linked; the session goes on.
    session.set(tokens);
    const {login} = await call('GET', '/v1/users/me');
    session.set({...session.get(), login});
  } catch (e) {
    fail(e);
  }
}

async function loadProviders() {
  providers = (await call('GET', '/v1/providers')).providers || [];
  $('providers').replaceChildren(...providerButtons('Sign in with', false));
  $('link').replaceChildren(...providerButtons('Add', true));
}

async function loadIdentities() {
  const identities = (await call('GET', '/v1/users/me/identities')).identities || [];
  const label = (each) => providers.find(({name}) => name === each.provider)?.displayName || idOf(each.provider);
  $('account').hidden = !providers.length && !identities.length;
  $('identities').replaceChildren(...identities.map((each) => element('li', {},
      element('span', {className: 'name', textContent: `${label(each)} ${each.email || each.subject}`, title: each.subject}),
      element('button', {type: 'button', className: 'quiet', textContent: 'Remove', onclick: () => unlink(each)}))));
}

async function unlink(identity) {
  try {
    await call('DELETE', `/v1/users/me/identities/${encodeURIComponent(idOf(identity.name))}`);
    await loadIdentities();
  } catch (e) {
    fail(e);
  }
}

$('sign-out').addEventListener('click', async () => {
  const id = session.get()?.session?.split('/').pop();
  try {
    if (id) await call('DELETE', `/v1/users/me/sessions/${encodeURIComponent(id)}`);
  } catch { /* It ends by itself. */ }
  signOut();
});

function signOut() {
  session.clear();
  socket.close();
  show();
}

// --- Runs ---

const idOf = (name) => name.split('/').pop();
const runPath = (name) => `/v1/runs/${encodeURIComponent(idOf(name))}`;
const filePath = (name) => '/v1/files/' + name.split('/').slice(3).map(encodeURIComponent).join('/');
const stateOf = (run) => (run.state || '').replace('RUN_STATE_', '').toLowerCase().replace('_', ' ');
const ended = (run) => ['succeeded', 'failed', 'cancelled', 'timed out'].includes(stateOf(run));

let runs = new Map();
let nextPage = '';
let current = null;

function stateClass(run) {
  const state = stateOf(run);
  return state === 'succeeded' ? 'good' : ['failed', 'timed out'].includes(state) ? 'bad' : '';
}

function drawRuns() {
  $('runs').replaceChildren(...[...runs.values()].map((run) => {
    const label = run.input?.path || run.input?.file || idOf(run.name);
    const item = element('li', {}, element('button', {type: 'button', title: run.name, onclick: () => open(run.name)},
        element('span', {className: 'name', textContent: label}),
        element('span', {className: `pill ${stateClass(run)}`, textContent: stateOf(run)})));
    item.setAttribute('aria-current', String(run.name === current?.name));
    return item;
  }));
  if (!runs.size) $('runs').append(element('li', {className: 'faint', textContent: 'None yet.'}));
  $('more-runs').hidden = !nextPage;
}

async function loadRuns(pageToken = '') {
  const page = await call('GET', `/v1/runs?pageSize=20&pageToken=${encodeURIComponent(pageToken)}`);
  for (const run of page.runs || []) runs.set(run.name, run);
  nextPage = page.nextPageToken || '';
  drawRuns();
}

$('more-runs').addEventListener('click', () => loadRuns(nextPage));

async function reload(name) {
  const run = await call('GET', runPath(name));
  if (!runs.has(name)) runs = new Map([[name, run], ...runs]);
  runs.set(name, run);
  drawRuns();
  if (current?.name === name) drawRun(run);
}

function drawRun(run) {
  $('run-title').textContent = `${idOf(run.agent || '')} · ${idOf(run.name)}`;
  $('run-state').textContent = stateOf(run);
  $('run-state').className = `pill ${stateClass(run)}`;
  $('run-summary').textContent = run.answer?.summary || run.error?.message || '';
  $('cancel').hidden = ended(run);
  const artifacts = run.answer?.artifacts || [];
  $('artifacts').replaceChildren(...artifacts.map((name) =>
      element('button', {className: 'quiet', type: 'button', textContent: idOf(name), onclick: () => download(name)})));
  const report = artifacts.find((name) => name.endsWith('.md'));
  if (report && current.report !== report) {
    current.report = report;
    showReport(report);
  }
}

async function open(name) {
  if (current) socket.unsubscribe(current.name);
  current = {name, report: null};
  $('empty').hidden = true;
  $('run').hidden = false;
  $('report').hidden = true;
  $('events').replaceChildren();
  progress.clear();
  await reload(name);
  socket.subscribe(name);
}

$('cancel').addEventListener('click', async () => {
  $('cancel').disabled = true;
  try {
    await call('POST', `${runPath(current.name)}:cancel`, {comment: 'cancelled in the console'});
  } catch (e) {
    $('run-summary').textContent = e.message;
  }
  $('cancel').disabled = false;
});

$('start').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target;
  const error = form.querySelector('.error');
  const button = form.querySelector('button');
  const file = form.file.files[0];
  error.textContent = '';
  button.disabled = true;
  $('upload').hidden = false;
  $('upload').removeAttribute('value');
  try {
    const name = file.name.split('.').filter(Boolean).join('.');
    await send('PUT', '/v1/files/' + encodeURIComponent(name), {body: file});
    const input = {file: name};
    if (form.question.value.trim()) input.question = form.question.value.trim();
    const run = await call('POST', '/v1/runs', {agent: 'agents/analyst', input, requestId: crypto.randomUUID?.() || ''});
    form.reset();
    await open(run.name);
  } catch (e) {
    error.textContent = e.message;
  }
  $('upload').hidden = true;
  button.disabled = false;
});

// --- Files and the report ---

async function blobOf(name) {
  return (await send('GET', filePath(name))).blob();
}

async function download(name) {
  const url = URL.createObjectURL(await blobOf(name));
  element('a', {href: url, download: idOf(name)}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

async function showReport(name) {
  const box = $('report');
  box.replaceChildren(...render(await (await blobOf(name)).text(), name));
  box.hidden = false;
}

// A picture that the report names by a path beside it. An <img> runs no script of an SVG.
function image(source, alt, report) {
  const node = element('img', {alt});
  const folder = report.split('/').slice(0, -1);
  const user = report.split('/').slice(0, 3).join('/');
  const target = /^[a-z]+:|^\/\//i.test(source) ? null
      : source.startsWith('/') ? user + source : [...folder, ...source.split('/').filter((part) => part !== '.')].join('/');
  if (target) blobOf(target).then((blob) => { node.src = URL.createObjectURL(blob); }, () => { node.alt += ' (not found)'; });
  return node;
}

function inline(text) {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*)/);
  return parts.map((part) => part.replace(/\\([\\`*_{}[\]()#+.!|<>~-])/g, '$1')).map((part) =>
      part.startsWith('`') && part.length > 2 ? element('code', {textContent: part.slice(1, -1)})
      : part.startsWith('**') && part.length > 4 ? element('strong', {textContent: part.slice(2, -2)})
      : part);
}

const cells = (line) => line.trim().replace(/^\||\|$/g, '').split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, '|'));

// The Markdown that reports are made of: headings, lists, tables, code, pictures, folded parts. Everything else stays text.
function render(markdown, report) {
  const root = element('div');
  let parent = root;
  const lines = markdown.replace(/\r/g, '').split('\n');
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    let match;
    if (line.startsWith('```')) {
      const code = [];
      while (++i < lines.length && !lines[i].startsWith('```')) code.push(lines[i]);
      parent.append(element('pre', {textContent: code.join('\n')}));
    } else if ((match = line.match(/^<details><summary>(.*)<\/summary>/))) {
      const folded = element('details', {}, element('summary', {textContent: match[1]}));
      parent.append(folded);
      parent = folded;
    } else if (line.startsWith('</details>')) {
      parent = parent.parentElement || root;
    } else if ((match = line.match(/^(#{1,6})\s+(.*)/))) {
      parent.append(element(`h${Math.min(match[1].length + 1, 6)}`, {}, ...inline(match[2])));
    } else if ((match = line.match(/^!\[([^\]]*)\]\(([^)\s]+)\)/))) {
      parent.append(image(decodeURI(match[2]), match[1], report));
    } else if (line.startsWith('|') && /^\|?[\s:|-]+$/.test(lines[i + 1] || 'x')) {
      const table = element('table', {}, element('tr', {}, ...cells(line).map((cell) => element('th', {}, ...inline(cell)))));
      for (i += 2; i < lines.length && lines[i].startsWith('|'); i++) {
        table.append(element('tr', {}, ...cells(lines[i]).map((cell) => element('td', {}, ...inline(cell)))));
      }
      i--;
      parent.append(table);
    } else if ((match = line.match(/^\s*([-*]|\d+\.)\s+/))) {
      const list = element('ul');
      for (; i < lines.length && (match = lines[i].match(/^\s*([-*]|\d+\.)\s+(.*)/)); i++) {
        list.append(element('li', {}, /\d/.test(match[1]) ? `${match[1]} ` : '• ', ...inline(match[2])));
      }
      i--;
      parent.append(list);
    } else if (line.trim()) {
      parent.append(element('p', {}, ...inline(line)));
    }
  }
  return [root];
}

// --- Events ---

const progress = new Map();  // Of tool steps, by their number.

const seconds = (duration) => duration ? `${Number.parseFloat(duration).toFixed(2)} s` : '';

function describe(event) {
  const payload = event[event.type.replace(/_(.)/g, (_, letter) => letter.toUpperCase())] || {};
  switch (event.type) {
    case 'run_queued': return 'queued';
    case 'agent_started': return `started after ${seconds(payload.queued) || '0 s'}`;
    case 'agent_thinking': return payload.text || '';
    case 'tool_executing': return `▶ ${idOf(payload.tool || '')}`;
    case 'tool_completed':
      return payload.error ? `✗ ${idOf(payload.tool || '')}: ${payload.error.message || payload.error.reason}`
                           : `✓ ${idOf(payload.tool || '')} ${seconds(payload.duration)}`;
    case 'approval_requested': return `waits for you: ${payload.question || ''}`;
    case 'approval_resolved': return payload.allowed ? 'allowed' : 'denied';
    case 'run_recovered': return 'taken up again after a restart';
    case 'agent_completed': return `finished in ${seconds(payload.duration)}`;
    case 'agent_failed': return `failed: ${payload.error?.message || payload.error?.reason || ''}`;
    case 'agent_cancelled': return `cancelled ${payload.comment || ''}`;
    default: return event.type;
  }
}

const terminal = new Set(['agent_completed', 'agent_failed', 'agent_cancelled']);

function addRow(number, time, text, className = '') {
  const item = element('li', {},
      element('span', {className: 'number', textContent: number}),
      element('span', {className: 'time', textContent: time}),
      element('span', {className, textContent: text}));
  $('events').append(item);
  return item;
}

function onEvent(event) {
  if (event.type === 'model_delta') return;
  if (event.type === 'tool_progress') {
    const bar = progress.get(event.toolProgress.step || 0);
    if (bar) {
      if ((event.toolProgress.fraction ?? 0) >= 0) bar.value = event.toolProgress.fraction || 0;
      bar.title = event.toolProgress.message || '';
    }
    return;
  }
  const failed = event.type === 'agent_failed' || event.toolCompleted?.error;
  const row = addRow(event.sequence, new Date(event.time).toLocaleTimeString(), describe(event), failed ? 'bad' : '');
  if (event.type === 'tool_executing') {
    const bar = element('progress', {max: 1});
    progress.set(event.toolExecuting.step || 0, bar);
    row.lastChild.append(bar);
  } else if (event.type === 'tool_completed') {
    progress.get(event.toolCompleted.step || 0)?.remove();
  } else if (terminal.has(event.type)) {
    progress.forEach((bar) => bar.remove());
    reload(event.run);
  } else if (['agent_started', 'approval_requested', 'approval_resolved'].includes(event.type)) {
    reload(event.run);
  }
}

// --- The WebSocket: one, opened with a ticket, opened again with the cursor when it is lost. ---

const socket = {
  ws: null,
  stream: null,
  cursor: 0,
  done: false,
  delay: 500,
  count: 0,

  subscribe(stream) {
    Object.assign(this, {stream, cursor: 0, done: false});
    if (this.ws?.readyState === WebSocket.OPEN) this.send({subscribe: {stream, after: 0}});
    else this.connect();
  },

  unsubscribe(stream) {
    if (this.stream === stream && !this.done && this.ws?.readyState === WebSocket.OPEN) this.send({unsubscribe: {stream}});
    this.stream = null;
  },

  close() {
    this.stream = null;
    this.ws?.close(1000);
    this.ws = null;
  },

  send(command) {
    this.ws.send(JSON.stringify({id: `c${++this.count}`, ...command}));
  },

  async connect() {
    if (this.ws || !session.get()) return;
    this.ws = {readyState: WebSocket.CONNECTING};
    try {
      const {ticket} = await call('POST', '/v1/ws-tickets');
      const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
      const ws = new WebSocket(`${scheme}://${location.host}/v1/ws?ticket=${encodeURIComponent(ticket)}`, 'bulkhead.v1.json');
      this.ws = ws;
      ws.onopen = () => {
        this.status('live');
        this.delay = 500;
        if (this.stream && !this.done) this.send({subscribe: {stream: this.stream, after: this.cursor}});
      };
      ws.onmessage = (message) => this.receive(JSON.parse(message.data));
      ws.onclose = (event) => { if (this.ws === ws) this.lost(event); };
    } catch {
      this.lost({});
    }
  },

  lost(event) {
    this.ws = null;
    if (!session.get()) return this.status('');
    this.status(event.code === 4401 ? 'signing in again' : 'reconnecting');
    setTimeout(() => this.connect(), this.delay);
    this.delay = Math.min(this.delay * 2, 15000);
  },

  receive(frame) {
    if (frame.event && frame.event.stream === this.stream) {
      if (frame.event.sequence) {
        if (frame.event.sequence <= this.cursor) return;
        this.cursor = frame.event.sequence;
      }
      if (terminal.has(frame.event.type)) this.done = true;
      onEvent(frame.event);
    } else if (frame.gap && frame.gap.stream === this.stream) {
      this.cursor = frame.gap.firstAvailable - 1;
      addRow('…', '', `events before ${frame.gap.firstAvailable} are no longer kept`, 'faint');
    } else if (frame.error?.error && frame.error.error.reason !== 'NOT_SUBSCRIBED') {
      addRow('!', '', frame.error.error.message || frame.error.code, 'bad');
    }
  },

  status(text) {
    $('connection').hidden = !text;
    $('connection').textContent = text;
  },
};

// --- Which view ---

function show() {
  const tokens = session.get();
  $('welcome').hidden = !!tokens;
  $('console').hidden = !tokens;
  $('sign-out').hidden = !tokens;
  $('who').textContent = tokens?.login || '';
  current = null;
  runs = new Map();
  $('run').hidden = true;
  $('empty').hidden = false;
  if (tokens) {
    loadRuns().catch((e) => { $('empty').textContent = e.message; });
    loadIdentities().catch(fail);
    socket.connect();
  } else {
    socket.status('');
  }
}

document.addEventListener('DOMContentLoaded', async () => {
  await comeBack();
  await loadProviders().catch(fail);
  show();
});
