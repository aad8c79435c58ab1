// A reporter of Node's test runner: one line "OUTCOME<tab>NAME<tab>MESSAGE" for each test. A name is "FILE: SUITE > ... > TEST".
import { basename } from 'node:path';

export default async function* outcomes(events) {
    const path = [];
    const counts = new Map();
    for await (const { type, data } of events) {
        if (type === 'test:start') {
            path.length = data.nesting;
            path.push(data.name);
        } else if ((type === 'test:pass' || type === 'test:fail') && data.details.type !== 'suite') {
            const name = `${basename(data.file ?? '', '.test.js')}: ${[...path.slice(0, data.nesting), data.name].join(' > ')}`;
            const count = (counts.get(name) ?? 0) + 1;
            counts.set(name, count);
            const message = String(data.details.error?.cause?.message ?? data.details.error?.message ?? '').replace(/\s+/g, ' ');
            yield `${type === 'test:pass' ? 'passed' : 'failed'}\t${name}${count > 1 ? ` (${count})` : ''}\t${message}\n`;
        }
    }
}
