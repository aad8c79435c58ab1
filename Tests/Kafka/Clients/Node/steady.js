// Writes numbers at a steady rate and reads them in a group of two, through the loss of a broker. Arguments: the library, the brokers,
// the topic, the count. Reports its progress, and "as expected" at the end.
const [library, brokers, topic, count] = [process.argv[2], process.argv[3].split(','), process.argv[4], Number(process.argv[5])];
// Writes to one partition at a time. If kafkajs sends to several brokers at once and one of them dies, it mistakes another broker's
// earlier answer for that of the partition that moves there, and never sends its records.
const atATime = 20;
const partitions = 3;

// A killed broker is down for a second or two; a client may notice later.
const retry = { retries: 30, initialRetryTime: 50, maxRetryTime: 1000 };

const clients = {
    kafkajs() {
        const { Kafka, logLevel } = require('kafkajs');
        const kafka = new Kafka({ clientId: 'steady', brokers, logLevel: logLevel.NOTHING, retry, requestTimeout: 10000 });
        return {
            producer: () => kafka.producer({ idempotent: true, maxInFlightRequests: 1, retry: { ...retry, retries: Number.MAX_SAFE_INTEGER } }),
            consumer: async () => {
                const consumer = kafka.consumer({ groupId: topic, sessionTimeout: 10000, heartbeatInterval: 300, retry });
                await consumer.connect();
                await consumer.subscribe({ topics: [topic], fromBeginning: true });
                return consumer;
            },
        };
    },
    confluent() {
        const { Kafka, logLevel } = require('@confluentinc/kafka-javascript').KafkaJS;
        const kafka = new Kafka({ kafkaJS: { clientId: 'steady', brokers, logLevel: logLevel.NOTHING } });
        return {
            producer: () => kafka.producer({ kafkaJS: { idempotent: true } }),
            consumer: async () => {
                const consumer = kafka.consumer({ kafkaJS: { groupId: topic, fromBeginning: true, sessionTimeout: 10000, heartbeatInterval: 300 } });
                await consumer.connect();
                await consumer.subscribe({ topic });
                return consumer;
            },
        };
    },
};

async function main() {
    const client = clients[library]();
    const read = new Set();
    const consumers = [await client.consumer(), await client.consumer()];
    for (const consumer of consumers)
        await consumer.run({ eachMessage: async ({ message }) => { if (read.add(message.value.toString()).size % 500 === 0) console.log(`read ${read.size}`); } });
    const producer = client.producer();
    await producer.connect();
    for (let number = 0; number < count; number += atATime) {
        const partition = number / atATime % partitions;
        await producer.send({ topic, messages: Array.from({ length: atATime }, (_, index) => ({ partition, key: `${number + index}`, value: `${number + index}` })) });
        if (number % 500 === 0)
            console.log(`acknowledged ${number + atATime}`);
        await new Promise(done => setTimeout(done, 15));
    }
    for (const deadline = Date.now() + 120000; read.size < count; await new Promise(done => setTimeout(done, 20))) {
        if (Date.now() > deadline)
            throw new Error(`only ${read.size} of ${count} were read`);
    }
    console.log('as expected');
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1); });
