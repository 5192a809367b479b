// Opens a page in headless Chromium, asks it something, and makes pictures of it. Rows of JSON on standard output:
//   {"event": "request", "url": ...} for each thing that it loads    {"event": "error", "text": ...}
//   {"event": "answer", "value": ...} for the script on standard input, which may wait    {"event": "shot", "width": ...}
import { createRequire } from 'node:module';
import path from 'node:path';

const env = process.env;
const { chromium } = createRequire(path.join(env.NM, 'x.js'))('playwright-core');
const row = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');
setTimeout(() => process.exit(124), 60_000).unref();

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const script = Buffer.concat(chunks).toString();

const browser = await chromium.launch({
  executablePath: env.CHROME || '/usr/bin/chromium', chromiumSandbox: false,
  args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.on('request', (request) => row('request', { url: request.url().slice(0, 200) }));
page.on('pageerror', (error) => row('error', { text: error.message }));
page.on('console', (message) => { if (message.type() === 'error') row('error', { text: message.text() }); });
await page.goto(env.PAGE);
row('answer', { value: await page.evaluate(script || 'null') });
for (const width of (env.WIDTHS || '1280').split(',').map(Number)) {
  await page.setViewportSize({ width, height: 900 });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  await page.screenshot({ path: `${env.SHOTS}-${width}.png`, fullPage: true });
  row('shot', { width, overflow });
}
await browser.close();
