// A provider that does what a test tells it: for what an honest one never does.
//
//   node attacker.mjs FOLDER
//
// FOLDER has node_modules. Prints "listening ISSUER". It asks nobody to sign in: its authorization endpoint sends the browser straight back. POST /test/script takes
// JSON that changes what it does from then on; what it leaves out is as an honest provider does it:
//
//   metadata      members that replace those of its metadata; null removes one
//   redirect      parameters that replace those of its redirect; null removes one
//   header        members that replace those of the ID token's header
//   claims        members that replace those of the ID token's claims; null removes one
//   algorithm     what it signs with: EdDSA (usual), ES256, RS256, PS256, or "none" and "HS256" as attackers do
//   sign_with     "unpublished": a key that its key set does not have
//   token_status  the HTTP status of its token endpoint; with token_body: its answer
//   jwks_body     the text of its key set
//
// GET /test/requests tells how often each path was asked for, and what the token endpoint got.
import {createHash, createHmac, generateKeyPairSync} from 'node:crypto';
import {createServer} from 'node:http';
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';

const load = (name) => import(pathToFileURL(createRequire(process.argv[2] + '/').resolve(name)));
const jose = await load('jose');

const kinds = {EdDSA: ['ed25519', {}], ES256: ['ec', {namedCurve: 'P-256'}], RS256: ['rsa', {modulusLength: 2048}], PS256: ['rsa', {modulusLength: 2048}]};
const keys = {};
const keyOf = (alg, published) => keys[`${alg} ${published}`] ||= generateKeyPairSync(...kinds[alg]);
const published = () => Object.keys(kinds).map((alg) => ({...keyOf(alg, true).publicKey.export({format: 'jwk'}), alg, use: 'sig', kid: alg}));

let issuer = '';
let script = {};
const seen = {paths: {}, tokens: []};
const codes = new Map();

// `base` with the members of `changes`; null removes one.
const change = (base, changes) =>
    Object.fromEntries(Object.entries({...base, ...changes}).filter(([, value]) => value !== null && value !== undefined));
const base64url = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

async function sign(claims) {
  const alg = script.algorithm || 'EdDSA';
  const usual = {alg, typ: 'JWT', kid: alg};
  const header = change(script.sign_with === 'unpublished' ? {...usual, kid: 'unpublished'} : usual, script.header);
  if (alg === 'none') return `${base64url(header)}.${base64url(claims)}.`;
  if (alg === 'HS256') {
    // The old trick: the public key, as everybody has it, as the secret.
    const secret = keyOf('RS256', true).publicKey.export({format: 'pem', type: 'spki'});
    const text = `${base64url(header)}.${base64url(claims)}`;
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  }
  return new jose.CompactSign(Buffer.from(JSON.stringify(claims))).setProtectedHeader(header)
      .sign(keyOf(alg, script.sign_with !== 'unpublished').privateKey);
}

async function tokens(form) {
  const asked = codes.get(form.get('code')) || {};
  codes.delete(form.get('code'));
  const now = Math.floor(Date.now() / 1000);
  const accessToken = 'an-access-token';
  const claims = change({
    iss: issuer, sub: 'mallory', aud: asked.client_id, exp: now + 300, iat: now, nonce: asked.nonce,
    at_hash: createHash((script.algorithm || 'EdDSA') === 'EdDSA' ? 'sha512' : 'sha256').update(accessToken).digest()
        .subarray(0, (script.algorithm || 'EdDSA') === 'EdDSA' ? 32 : 16).toString('base64url'),
  }, script.claims);
  return {access_token: accessToken, token_type: 'Bearer', id_token: await sign(claims)};
}

const answers = {
  '/.well-known/openid-configuration': () => change({
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: Object.keys(kinds),
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
  }, script.metadata),
  '/jwks': () => script.jwks_body ?? {keys: published()},
  '/token': async (body) => {
    const form = new URLSearchParams(body);
    seen.tokens.push(Object.fromEntries(form));
    return script.token_body ?? await tokens(form);
  },
  '/test/script': (body) => { script = JSON.parse(body); return {}; },
  '/test/requests': () => seen,
};

const server = createServer(async (request, response) => {
  let body = '';
  for await (const piece of request) body += piece;
  const url = new URL(request.url, issuer);
  seen.paths[url.pathname] = (seen.paths[url.pathname] || 0) + 1;
  if (url.pathname === '/authorize') {
    const asked = Object.fromEntries(url.searchParams);
    const code = `code-${codes.size + seen.tokens.length + 1}`;
    codes.set(code, asked);
    const target = new URL(asked.redirect_uri);
    const parameters = change({code, state: asked.state, iss: issuer}, script.redirect);
    for (const [name, value] of Object.entries(parameters)) target.searchParams.set(name, value);
    response.writeHead(303, {Location: target.href});
    response.end();
    return;
  }
  const answer = answers[url.pathname];
  const content = answer ? await answer(body) : {error: 'not_found'};
  const status = url.pathname === '/token' && script.token_status ? script.token_status : answer ? 200 : 404;
  response.writeHead(status, {'Content-Type': 'application/json'});
  response.end(typeof content === 'string' ? content : JSON.stringify(content));
});
server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(`listening ${issuer}`);
});
