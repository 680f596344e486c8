// A server of the protocol in plugins/rest/README.md, on Node, with resumable uploads by @tus/server.
// Usage, in a folder with the packages: node server.mjs PORT FOLDER TOKENS.json; the tokens are as in server.py.

import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { FileStore } from '@tus/file-store';
import { Server } from '@tus/server';

const [port, folder, tokenFile] = process.argv.slice(2);
const tokens = JSON.parse(fs.readFileSync(tokenFile, 'utf8'));
const objects = path.join(folder, 'objects');
const partial = path.join(folder, 'partial');
for (const one of [objects, partial]) fs.mkdirSync(one, { recursive: true });
const BASE = '/objects';
const PAGE = 500;

class Refusal extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

const place = (key) => path.join(objects, crypto.createHash('sha256').update(key).digest('hex'));

function known() {
  const facts = [];
  for (const name of fs.readdirSync(objects)) {
    if (name.endsWith('.json')) facts.push(JSON.parse(fs.readFileSync(path.join(objects, name), 'utf8')));
  }
  return facts;
}

function allow(request, writing) {
  const [, token] = (request.headers.authorization ?? '').match(/^Bearer (.+)$/i) ?? [];
  const account = tokens[token];
  if (!account || account.may === 'nothing') throw new Refusal(401, 'The token is unknown or has expired.');
  if (writing && account.may !== 'write') throw new Refusal(403, 'The token may only read.');
  return account;
}

const free = (account) => (account.quota ?? 2 ** 40) - known().reduce((sum, one) => sum + one.size, 0);

// Gives a whole file its key: the facts last, since they are what makes an object.
async function keep(key, file) {
  const digest = crypto.createHash('sha256');
  await pipeline(fs.createReadStream(file), digest);
  const facts = { key, size: fs.statSync(file).size, modified_unix_ms: Date.now(), sha256: digest.digest('hex') };
  const there = fs.existsSync(`${place(key)}.json`);
  fs.renameSync(file, place(key));
  fs.writeFileSync(`${file}.json`, JSON.stringify(facts));
  fs.renameSync(`${file}.json`, `${place(key)}.json`);
  return there;
}

async function put(request, response, key, account) {
  const file = path.join(partial, crypto.randomUUID());
  let left = free(account);
  try {
    await pipeline(request, async function* (source) {
      for await (const piece of source) {
        left -= piece.length;
        if (left < 0) throw new Refusal(507, 'The quota is used up.');
        yield piece;
      }
    }, fs.createWriteStream(file));
    response.writeHead((await keep(key, file)) ? 204 : 201).end();
  } finally {
    fs.rmSync(file, { force: true });
  }
}

function facts(key) {
  try {
    return JSON.parse(fs.readFileSync(`${place(key)}.json`, 'utf8'));
  } catch {
    throw new Refusal(404, 'There is no such object.');
  }
}

async function get(request, response, key) {
  const { size, modified_unix_ms: modified, sha256 } = facts(key);
  const headers = {
    'Last-Modified': new Date(modified).toUTCString(),
    'Repr-Digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`,
  };
  const [, first, last] = (request.headers.range ?? '').match(/^bytes=(\d+)-(\d*)$/) ?? [];
  const start = Number(first ?? 0);
  const end = Math.min(last ? Number(last) : size - 1, size - 1);
  if (first !== undefined && start >= size) throw new Refusal(416, 'The object is shorter.');
  if (first !== undefined) headers['Content-Range'] = `bytes ${start}-${end}/${size}`;
  headers['Content-Length'] = end - start + 1;
  response.writeHead(first === undefined ? 200 : 206, headers);
  if (request.method === 'HEAD' || size === 0) return response.end();
  await pipeline(fs.createReadStream(place(key), { start, end }), response);
}

function remove(response, key) {
  facts(key);
  for (const file of [`${place(key)}.json`, place(key)]) fs.rmSync(file, { force: true });
  response.writeHead(204).end();
}

function page(response, query, account) {
  const prefix = query.get('prefix') ?? '';
  const cursor = query.get('cursor') ?? '';
  const found = known().filter(({ key }) => key.startsWith(prefix) && key > cursor).sort((a, b) => (a.key < b.key ? -1 : 1));
  const body = { objects: found.slice(0, PAGE), free_bytes: Math.max(free(account), 0) };
  if (found.length > PAGE) body.cursor = found[PAGE - 1].key;
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

const tus = new Server({
  path: `${BASE}/.uploads`,
  relativeLocation: true,
  datastore: new FileStore({ directory: partial, expirationPeriodInMilliseconds: 7 * 24 * 3_600_000 }),
  async onUploadFinish(_, upload) {
    await keep(upload.metadata.key, path.join(partial, upload.id));
    fs.rmSync(path.join(partial, `${upload.id}.json`), { force: true });
    return {};
  },
});

async function plain(request, response, account) {
  const url = new URL(request.url, 'http://localhost');
  const key = decodeURIComponent(url.pathname).slice(BASE.length + 1);
  if (!url.pathname.startsWith(`${BASE}/`)) throw new Refusal(404, 'There is nothing at this address.');
  if (key === '' && request.method === 'GET') return page(response, url.searchParams, account);
  if (key.split('/').some((part) => ['', '.', '..'].includes(part))) throw new Refusal(404, 'No object has such a key.');
  switch (request.method) {
    case 'PUT': return put(request, response, key, account);
    case 'GET': case 'HEAD': return get(request, response, key);
    case 'DELETE': return remove(response, key);
    default: throw new Refusal(405, 'This is not offered.');
  }
}

const server = http.createServer(async (request, response) => {
  try {
    const account = allow(request, !['GET', 'HEAD', 'OPTIONS'].includes(request.method));
    if (request.url.startsWith(`${BASE}/.uploads`)) {
      // What the upload holds already is no object yet, and takes space all the same.
      const reached = Number(request.headers['upload-offset'] ?? 0) + Number(request.headers['content-length'] ?? 0);
      if (request.method === 'PATCH' && reached > free(account)) throw new Refusal(507, 'The quota is used up.');
      return await tus.handle(request, response);
    }
    await plain(request, response, account);
  } catch (error) {
    if (response.headersSent) return response.destroy();
    const status = error.status ?? (error.code === 'ENOSPC' ? 507 : 500);
    // Its body may not have been read.
    response.writeHead(status, { 'Content-Type': 'application/problem+json', Connection: 'close' });
    response.end(JSON.stringify({ title: error.message }));
  }
});
// A body may pause for as long as a database needs.
server.requestTimeout = 0;
server.listen(Number(port), '127.0.0.1');
