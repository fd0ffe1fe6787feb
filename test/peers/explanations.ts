/** Each difference from unbound that is meant, and why; whatever this list does not explain is a fault of ours. */
import type { Difference } from './comparison.ts';

export interface Explanation {
  /** Chance may leave it out. */
  isRare?: true;
  because: string;
  explains: (difference: Difference) => boolean;
}

const rcode = { noError: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5, badVers: 16 } as const;
const type = { CNAME: 5, HINFO: 13, OPT: 41, TKEY: 249, TSIG: 250, IXFR: 251, AXFR: 252, ANY: 255 } as const;
const recursionDesired = 0x100;

const isSpecial = (name: string) => /(^|\.)(localhost|invalid|onion|home\.arpa)\.$/.test(name);
const isAnswer = (code: number | undefined) => code === rcode.noError || code === rcode.nxDomain;
const isError = (code: number | undefined) => code !== undefined && !isAnswer(code);
const isMeta = (asked: number) => asked === type.OPT || (asked >= type.TKEY && asked <= type.ANY);

function without(flags: string, ...words: string[]): string {
  const left = flags.split(' ').filter((word) => !words.includes(word));
  return left.join(' ');
}

/** In order: the first that holds is the one that is told. */
export const explanations: readonly Explanation[] = [
  {
    because:
      'RFC 8906 §3.1.4: whatever the opcode, there is an answer, NOTIMP; as nobody knows how to read the rest of such a message, none of it is repeated. unbound repeats it, or is silent',
    explains: ({ question: { opcode } }) => opcode !== 0,
  },
  {
    because:
      'RFC 1035 §4.1.1: a question that cannot be read is not repeated in its FORMERR; unbound sends what is no message, or nothing',
    explains: ({ field, question: { fault }, peer, ours }) =>
      field === 'fate' && fault !== undefined && fault !== 'a response' && peer !== 'an answer' && ours === 'an answer',
  },
  {
    because: 'RFC 7873 §5.2.2: a cookie of an impossible length is FORMERR; this unbound knows no cookies',
    explains: ({ question: { edns }, answers }) =>
      answers?.ours.rcode === rcode.formErr && edns?.options?.[0]?.code === 10 && edns.options[0].data.length < 8,
  },
  {
    isRare: true,
    because: 'RFC 6891 §6.1.3: an EDNS version that is not known is BADVERS, before anything else is looked at',
    explains: ({ question: { edns }, answers }) => (edns?.version ?? 0) > 0 && answers?.ours.rcode === rcode.badVers,
  },
  {
    isRare: true,
    because:
      'RFC 4892 §2: the class CHAOS is about the server itself: each says its own name, and to all else the agent says REFUSED, whatever the type',
    explains: ({ question, field, answers }) =>
      question.class === 3 && (field === 'answer' || answers?.ours.rcode === rcode.refused),
  },
  {
    because:
      'RFC 6891 §7: a malformed OPT record is FORMERR, before anything else is looked at, and answered without one',
    explains: ({ question: { fault }, answers }) =>
      fault?.includes('OPT') === true && answers?.ours.rcode === rcode.formErr && isError(answers.peer.rcode),
  },
  {
    because: 'RFC 8482 §4.2: ANY gets one HINFO record; unbound asks for all there is',
    explains: ({ question, answers }) =>
      question.type === type.ANY && question.class === 1 && answers?.ours.answer.includes(` 1 ${type.HINFO} `) === true,
  },
  {
    because: 'RFC 8906 §3.1.4: no zone is transferred here: NOTIMP; unbound says REFUSED',
    explains: ({ question, answers }) =>
      (question.type === type.AXFR || question.type === type.IXFR) && answers?.ours.rcode === rcode.notImp,
  },
  {
    because:
      'RFC 8906 §3.1.1: types that a forwarder has no use for itself are forwarded like any other; unbound says FORMERR to those of transactions, or nothing',
    explains: ({ question, peer, answers }) =>
      isMeta(question.type) &&
      (answers === undefined
        ? peer === 'silence'
        : answers.peer.rcode === rcode.formErr && isAnswer(answers.ours.rcode)),
  },
  {
    because:
      'RFC 1035 §4.1.1: nothing forbids records in a query, and the question can be read; unbound says FORMERR to a record in the answer section',
    explains: ({ question: { fault }, answers }) =>
      fault === 'an answer in the query' && answers?.peer.rcode === rcode.formErr,
  },
  {
    because: 'RFC 9619 §3: of several questions, or of none, nothing is repeated in the FORMERR',
    explains: ({ question: { fault }, answers }) =>
      (fault === 'two questions' || fault === 'no question') && answers?.ours.rcode === rcode.formErr,
  },
  {
    because:
      'RFC 1035 §4.1.1: RA and RD are told in errors as well, AD and Z are nothing to repeat; unbound differs in errors',
    explains: ({ field, peer, ours, answers }) =>
      field === 'flags' && isError(answers?.ours.rcode) && without(peer, 'ra', 'ad', 'z') === without(ours, 'ra'),
  },
  {
    because: 'RFC 8914 §2: an error says why; this unbound does not',
    explains: ({ field, peer, ours, answers }) =>
      field === 'options' && without(ours, '15') === peer && isError(answers?.ours.rcode),
  },
  {
    because: 'RFC 6891 §6.1.1: options are a matter of one hop, none is repeated; unbound repeats them in errors',
    explains: ({ field, ours, answers }) =>
      field === 'options' && without(ours, '15') === '' && isError(answers?.peer.rcode),
  },
  {
    because: 'RFC 6891 §6.2.3: the size in an OPT record is its sender’s own; unbound repeats the client’s in errors',
    explains: ({ field, ours, answers }) =>
      field === 'edns' && ours.startsWith('1232 version 0') && isError(answers?.peer.rcode),
  },
  {
    because:
      'RFC 6761 §6.3 and §6.4, RFC 7686 §2, RFC 8375 §4: special names are answered on the node, by nobody who would be an authority for them (AA, SOA), and all there is are two addresses of localhost',
    explains: ({ question: { name } }) => isSpecial(name),
  },
  {
    because:
      'RFC 2181 §9: where there is no room for all of the additional section, none of it is sent; unbound sends a part',
    explains: ({ field, ours, question: { name } }) =>
      field === 'additional' && ours === '' && name === 'extras.example.',
  },
  {
    isRare: true,
    because:
      'RFC 6672 §3.4: the alias that a DNAME makes is there, whatever it leads to; the upstream server, asked for it (CNAME), tells of what it leads to the first time (SOA, NXDOMAIN) and then no more, and the agent says what it was told',
    explains: ({ field, question: { name, type: asked } }) =>
      (field === 'authority' || field === 'rcode') && asked === type.CNAME && name.endsWith('.tree.example.'),
  },
  {
    because: 'RFC 1034 §4.1.4: an aliases’ loop is no answer: SERVFAIL has no records, where unbound adds the loop',
    explains: ({ field, ours, question: { name }, answers }) =>
      field === 'answer' && ours === '' && /^(loop[12]|self)\./.test(name) && answers?.ours.rcode === rcode.servFail,
  },
  {
    because:
      'RFC 1034 §4.3.1: what is not known is asked for a client without RD too, for no cache of a node has anything to lose by it; unbound tells such clients what it has in its cache, and SERVFAIL or a referral where that is nothing. RD is repeated as it came (RFC 1035 §4.1.1)',
    explains: ({ field, question: { flags }, peer, ours }) =>
      (flags & recursionDesired) === 0 &&
      (field === 'flags'
        ? without(peer, 'rd', 'tc') === without(ours, 'rd', 'tc')
        : !['fate', 'question', 'edns', 'ttl'].includes(field)),
  },
];
