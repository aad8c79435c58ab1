// Reads a topic of one partition from its beginning with kafkajs, and writes offset and value of each record. Arguments: the broker, the
// topic, the count. Ends a second after the last record, so that what must not come has time to.
const { Kafka, logLevel } = require('kafkajs');
const [broker, topic, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];

async function main() {
    const consumer = new Kafka({ clientId: 'reader', brokers: [broker], logLevel: logLevel.NOTHING }).consumer({ groupId: 'kafkajs' });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    const lines = [];
    await consumer.run({ eachMessage: async ({ message }) => { lines.push(`${message.offset} ${message.value}\n`); } });
    for (const deadline = Date.now() + 60000; lines.length < count && Date.now() < deadline;)
        await new Promise(done => setTimeout(done, 20));
    await new Promise(done => setTimeout(done, 1000));
    await consumer.disconnect();
    process.stdout.write(lines.join(''));
}

main().catch(fault => { console.error(fault); process.exit(1); });
