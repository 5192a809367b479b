// Chromium without a window, and the server on loopback that its pages come from.
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const { chromium } = createRequire(path.join(process.env.NM, 'here.js'))('playwright-core');

// Whatever happens, nobody waits for a browser for ever.
setTimeout(() => { console.error('the browser had no time left'); process.exit(124); }, 1000 * Number(process.env.DEADLINE || 60)).unref();

const TYPES = { '.html': 'text/html', '.js': 'text/javascript' };

// Serves the files of these folders by their bare names; the first folder that has one wins.
export async function serve(folders) {
  const server = http.createServer((request, response) => {
    const name = path.basename(new URL(request.url, 'http://localhost').pathname);
    const found = folders.map((folder) => path.join(folder, name)).find((file) => name && fs.existsSync(file));
    if (!found) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': TYPES[path.extname(name)] ?? 'application/octet-stream' });
    response.end(fs.readFileSync(found));
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return server;
}

// `wav`: 48 kHz, mono, 16 bits; it is the microphone, again and again.
export function launch({ wav, args = [] } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROME || '/usr/bin/chromium',
    headless: true,
    chromiumSandbox: false, // root may not have one
    timeout: 20_000,
    args: [
      '--use-fake-device-for-media-stream', // no microphone ...
      '--use-fake-ui-for-media-stream', // ... and nobody to allow it
      ...(wav ? [`--use-file-for-fake-audio-capture=${wav}`] : []),
      '--autoplay-policy=no-user-gesture-required',
      '--allow-loopback-in-peer-connection',
      '--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints,Translate',
      // Nothing leaves loopback.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      ...args,
    ],
  });
}

// A page of its own context; what goes wrong in it is said on standard error.
export async function open(browser, url, tag) {
  const page = await (await browser.newContext({ permissions: ['microphone'] })).newPage();
  page.on('pageerror', (error) => console.error(`[${tag}]`, error.message));
  page.on('console', (message) => { if (message.type() === 'error') console.error(`[${tag}]`, message.text()); });
  await page.goto(url);
  return page;
}
