/** What an answer must be whatever was asked, judged by other code than the agent's. */

/** Why `answer` is no well-formed answer to `query`; undefined if it is one. */
export function complaintAbout(answer: Buffer, query: Buffer): string | undefined {
  if (answer.length < 12) return 'shorter than a header';
  if (answer.readUInt16BE(0) !== query.readUInt16BE(0)) return 'another id';
  const flags = answer.readUInt16BE(2);
  if ((flags & 0x8000) === 0) return 'not a response';
  if ((flags & 0x7800) !== (query.readUInt16BE(2) & 0x7800)) return 'another opcode';
  if ((flags & 0x0440) !== 0) return 'AA or Z is set';
  if ((flags & 0x0080) === 0) return 'RA is not set';
  const [questions = 0, ...sections] = [4, 6, 8, 10].map((at) => answer.readUInt16BE(at));
  if (questions > 1) return 'more than one question';
  let at = 12;
  if (questions === 1) {
    while ((answer[at] ?? 0) !== 0) at += (answer[at] as number) + 1;
    at += 5;
    if (!answer.subarray(12, at).equals(query.subarray(12, at))) return 'another question';
  }
  let opts = 0;
  for (const [section, count] of sections.entries()) {
    for (let record = 0; record < count; record += 1) {
      const isRootName = answer[at] === 0;
      for (let octet = answer[at]; octet !== 0; octet = answer[at]) {
        if (octet === undefined) return 'a name without an end';
        if (octet >= 0xc0) {
          at += 1;
          break;
        }
        at += octet + 1;
      }
      at += 1;
      if (at + 10 > answer.length) return 'a record that is cut off';
      if (answer.readUInt16BE(at) === 41) {
        opts += 1;
        if (section !== 2 || record !== count - 1 || !isRootName) return 'OPT in a strange place';
      } else if (answer.readUInt32BE(at + 4) > 0x7fffffff) return 'a TTL with its top bit set';
      at += 10 + answer.readUInt16BE(at + 8);
    }
  }
  if (opts > 1) return 'two OPT records';
  if (at !== answer.length) return `${answer.length - at} octets behind the last record`;
  if ((flags & 0x0200) !== 0 && sections[0] !== 0) return 'truncated, and yet records';
  return undefined;
}
