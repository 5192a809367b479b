// Phones in pages of one browser, steered by rows of JSON on standard input; what they notice are rows on standard output.
//   {"do": "call", "target": "sip:..."}  {"do": "answer"}  {"do": "bye"}  {"do": "press", "digits": "12#"}  {"do": "stats"}
//   {"do": "hold", "on": true}  {"do": "relay", "url": "turn:..."}: later calls go by it alone; "": none
//   {"do": "record", "seconds": 6, "path": "..."}: what is heard from now on, raw mono int16 at 48 kHz
// SIP_USER names one or more users, with commas between; a row with "user" is for that one, others for the first.
import fs from 'node:fs';
import readline from 'node:readline';
import { launch, open, serve } from './browser/browser.mjs';

const env = process.env;
const row = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');

const server = await serve([env.PAGES, env.WWW]);
const browser = await launch({ wav: env.WAV });
const users = env.SIP_USER.split(',');
const pages = {};
for (const user of users) {
  const page = pages[user] = await open(browser, `http://127.0.0.1:${server.address().port}/page_jssip.html`, user);
  await page.exposeFunction('notice', (name, detail) => row(name, { user, detail: detail === undefined ? '' : String(detail) }));
  await page.evaluate(() => {
    const note = phone.note.bind(phone);
    phone.note = (name, detail) => { note(name, detail); window.notice(name, detail); };
    // JsSIP follows no 3xx: whoever steers the page does, by the Contact.
    const attach = phone.attach.bind(phone);
    phone.attach = (session) => {
      attach(session);
      session.on('failed', ({ message }) => {
        if (message && message.status_code >= 300 && message.status_code < 400) phone.note('redirected', message.getHeader('Contact'));
      });
    };
  });
  await page.evaluate((account) => { phone.start(account); }, {
    ws: env.WS, user, domain: env.DOMAIN, password: `pw-${user}`,
  });
}

// In the page: so many seconds of what comes from the far end, int16 in base64.
async function record(seconds) {
  const code = `registerProcessor('tape', class extends AudioWorkletProcessor {
    process([input]) { if (input.length) this.port.postMessage(input[0].slice()); return true; }
  })`;
  const context = new AudioContext({ sampleRate: 48000 });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })));
  const tape = new AudioWorkletNode(context, 'tape');
  const track = phone.pc.getReceivers()[0].track;
  context.createMediaStreamSource(new MediaStream([track])).connect(tape).connect(context.destination);
  const samples = new Int16Array(seconds * 48000);
  let at = 0;
  await new Promise((done) => {
    tape.port.onmessage = ({ data }) => {
      for (const value of data) if (at < samples.length) samples[at++] = Math.max(-1, Math.min(1, value)) * 32767;
      if (at === samples.length) done();
    };
  });
  await context.close();
  let text = '';
  const octets = new Uint8Array(samples.buffer);
  for (let i = 0; i < octets.length; i += 32768) text += String.fromCharCode(...octets.subarray(i, i + 32768));
  return btoa(text);
}

const actions = {
  call: (page, { target }) => page.evaluate((to) => { phone.call(to); }, target),
  answer: (page) => page.evaluate(() => { phone.answer(); }),
  bye: (page) => page.evaluate(() => { phone.bye(); }),
  press: (page, { digits }) => page.evaluate((keys) => { phone.pc.getSenders()[0].dtmf.insertDTMF(keys, 100, 70); }, digits),
  // JsSIP refuses while an earlier offer is under way.
  hold: (page, { on }) => page.waitForFunction((held) => phone.hold(held), on, { polling: 50 }),
  relay: (page, { url }) => page.evaluate((urls) => {
    phone.iceServers = urls ? [{ urls, username: 'turn', credential: 'pw-turn' }] : [];
    phone.policy = urls ? 'relay' : 'all';
  }, url),
  record: async (page, { user, seconds, path }) => {
    fs.writeFileSync(path, Buffer.from(await page.evaluate(record, seconds), 'base64'));
    row('recorded', { user });
  },
  stats: async (page, { user }) => row('stats', { user, ...await page.evaluate(() => stats(phone.pc)) }),
};
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await actions[command.do](pages[command.user || users[0]], command);
}
await browser.close();
server.close();
