// A real OpenID provider for tests: the npm package oidc-provider on a free port of the loopback.
//
//   node provider.mjs FOLDER CONFIG
//
// FOLDER has node_modules. CONFIG is JSON: {clients, accounts, algorithms, tls: {key, cert}}: clients as oidc-provider takes them, accounts as {login: claims}, tls by
// file names, over https then. Prints "listening ISSUER". Besides the provider's own, it answers POST /test/rotate (new keys, the old ones gone) and GET /test/requests
// (how often each path was asked for).
import {generateKeyPairSync} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {createServer as createTlsServer} from 'node:https';
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';

const [folder, text] = process.argv.slice(2);
const config = JSON.parse(text);
const load = (name) => import(pathToFileURL(createRequire(folder + '/').resolve(name)));
const {default: Provider} = await load('oidc-provider');

let generation = 0;

function makeKeys() {
  generation++;
  const kinds = [
    ['RS256', 'rsa', {modulusLength: 2048}],
    ['PS256', 'rsa', {modulusLength: 2048}],
    ['ES256', 'ec', {namedCurve: 'P-256'}],
    ['EdDSA', 'ed25519', {}],
  ];
  return {keys: kinds.filter(([alg]) => config.algorithms.includes(alg)).map(([alg, type, options]) => ({
    ...generateKeyPairSync(type, options).privateKey.export({format: 'jwk'}), alg, use: 'sig', kid: `${alg}-${generation}`,
  }))};
}

let issuer = '';
let handler = null;

function start() {
  const provider = new Provider(issuer, {
    clients: config.clients,
    jwks: makeKeys(),
    claims: {openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username']},
    // The code flow's ID token has them, as those of most providers of the world.
    conformIdTokenClaims: false,
    pkce: {required: () => true},
    cookies: {keys: ['of the tests']},
    findAccount: (context, id) => ({
      accountId: id,
      claims: () => ({sub: id, ...config.accounts[id]}),
    }),
  });
  handler = provider.callback();
}

const requests = {};
const listener = (request, response) => {
  const path = request.url.split('?')[0];
  requests[path] = (requests[path] || 0) + 1;
  if (path === '/test/rotate') {
    start();
    response.end('{}');
  } else if (path === '/test/requests') {
    response.end(JSON.stringify(requests));
  } else {
    handler(request, response);
  }
};
const server = config.tls
    ? createTlsServer({key: readFileSync(config.tls.key), cert: readFileSync(config.tls.cert)}, listener)
    : createServer(listener);
server.listen(config.port || 0, '127.0.0.1', () => {
  issuer = `${config.tls ? 'https://localhost' : 'http://127.0.0.1'}:${server.address().port}`;
  start();
  console.log(`listening ${issuer}`);
});
