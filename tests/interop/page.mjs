// Phones in pages of one browser, steered by rows of JSON on standard input; what they notice are rows on standard output.
//   {"do": "call", "target": "sip:..."}  {"do": "answer"}  {"do": "bye"}  {"do": "press", "digits": "12#"}  {"do": "stats"}
// SIP_USER names one or more users, with commas between; a row with "user" is for that one, others for the first.
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

const actions = {
  call: (page, { target }) => page.evaluate((to) => { phone.call(to); }, target),
  answer: (page) => page.evaluate(() => { phone.answer(); }),
  bye: (page) => page.evaluate(() => { phone.bye(); }),
  press: (page, { digits }) => page.evaluate((keys) => { phone.pc.getSenders()[0].dtmf.insertDTMF(keys, 100, 70); }, digits),
  stats: async (page, { user }) => row('stats', { user, ...await page.evaluate(() => stats(phone.pc)) }),
};
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await actions[command.do](pages[command.user || users[0]], command);
}
await browser.close();
server.close();
