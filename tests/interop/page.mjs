// A phone in a page, steered by rows of JSON on standard input; what it notices are rows on standard output.
//   {"do": "call", "target": "sip:..."}  {"do": "answer"}  {"do": "bye"}  {"do": "press", "digits": "12#"}  {"do": "stats"}
import readline from 'node:readline';

const env = process.env;
const { launch, open, serve } = await import(env.LIBRARY);
const row = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');

const server = await serve([env.PAGES, env.WWW]);
const browser = await launch({ wav: env.WAV });
const page = await open(browser, `http://127.0.0.1:${server.address().port}/page_jssip.html`, 'page');
await page.exposeFunction('notice', (name, detail) => row(name, { detail: detail === undefined ? '' : String(detail) }));
await page.evaluate(() => {
  const note = phone.note.bind(phone);
  phone.note = (name, detail) => { note(name, detail); window.notice(name, detail); };
});
await page.evaluate((account) => { phone.start(account); }, {
  ws: env.WS, user: env.SIP_USER, domain: env.DOMAIN, password: `pw-${env.SIP_USER}`,
});

const actions = {
  call: ({ target }) => page.evaluate((to) => { phone.call(to); }, target),
  answer: () => page.evaluate(() => { phone.answer(); }),
  bye: () => page.evaluate(() => { phone.bye(); }),
  press: ({ digits }) => page.evaluate((keys) => { phone.pc.getSenders()[0].dtmf.insertDTMF(keys, 100, 70); }, digits),
  stats: async () => row('stats', await page.evaluate(() => stats(phone.pc))),
};
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await actions[command.do](command);
}
await browser.close();
server.close();
