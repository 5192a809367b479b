// Times the parsers of JsSIP and SIP.js: reads {"messages": [...], "modules": folder} from standard input, writes
// {"JsSIP": [us...], "SIP.js": [us...]}: CPU a message with the headers read that a transaction layer reads.
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

let text = '';
for await (const piece of process.stdin) text += piece;
const { messages, modules } = JSON.parse(text);
const require = createRequire(path.join(modules, 'x.js'));
const jssip = require('jssip/lib/Parser');
const { Parser } = await import(pathToFileURL(path.join(modules, 'sip.js/lib/core/messages/parser.js')));
const quiet = { warn() {}, error() {}, log() {}, debug() {} };

function read(message) {
  // `via`, `from`, `to`, `cseq` are parsed on arrival by both; Contact when it is asked for.
  return [message.via, message.from, message.to, message.call_id || message.callId, message.cseq,
    message.hasHeader('contact') && message.parseHeader('contact')];
}
const parsers = {
  JsSIP: (message) => read(jssip.parseMessage(message, {})),
  'SIP.js': (message) => read(Parser.parseMessage(message, quiet)),
};

function measure(parse, message) {
  for (let i = 0; i < 2000; i++) parse(message); // let the compiler see it
  const rounds = [];
  for (let round = 0; round < 7; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < 500; i++) parse(message);
    const used = process.cpuUsage(start);
    rounds.push((used.user + used.system) / 500);
  }
  return rounds.sort((a, b) => a - b)[3];
}

const times = {};
for (const [name, parse] of Object.entries(parsers)) {
  if (!parse(messages[0])[0]) throw new Error(`${name} could not read the first message`);
  times[name] = messages.map((message) => measure(parse, message));
}
console.log(JSON.stringify(times));
