// kafkajs: topics, an idempotent producer, a group, and administration. The only argument is the broker's address.
const assert = require('assert');
const { Kafka, logLevel } = require('kafkajs');

async function main(broker) {
    const kafka = new Kafka({ clientId: 'tests', brokers: [broker], logLevel: logLevel.ERROR });
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 3 }], waitForLeaders: true });

    const producer = kafka.producer({ idempotent: true });
    await producer.connect();
    const messages = Array.from({ length: 500 }, (_, number) => ({ key: `${number}`, value: `v${number}`, headers: { h: 'x' } }));
    await producer.send({ topic: 'orders', acks: -1, messages });

    const consumer = kafka.consumer({ groupId: 'readers' });
    await consumer.connect();
    await consumer.subscribe({ topics: ['orders'], fromBeginning: true });
    const read = new Set();
    await new Promise((done, fail) => {
        setTimeout(() => fail(new Error(`only ${read.size} were read`)), 60000).unref();
        consumer.run({
            eachMessage: async ({ message }) => {
                assert.strictEqual(message.headers.h.toString(), 'x');
                if (read.add(message.value.toString()).size === 500)
                    done();
            },
        });
    });
    await consumer.disconnect();

    const high = (await admin.fetchTopicOffsets('orders')).reduce((sum, partition) => sum + Number(partition.high), 0);
    const committed = (await admin.fetchOffsets({ groupId: 'readers', topics: ['orders'] }))[0].partitions.reduce((sum, partition) => sum + Number(partition.offset), 0);
    assert.deepStrictEqual([high, committed], [500, 500]);
    await admin.alterConfigs({ resources: [{ type: 2, name: 'orders', configEntries: [{ name: 'retention.ms', value: '5000' }] }] });
    const described = await admin.describeConfigs({ resources: [{ type: 2, name: 'orders', configNames: ['retention.ms'] }] });
    assert.strictEqual(described.resources[0].configEntries[0].configValue, '5000');
    await admin.deleteTopicRecords({ topic: 'orders', partitions: [{ partition: 0, offset: '1' }] });
    await admin.createPartitions({ topicPartitions: [{ topic: 'orders', count: 4 }] });
    assert.deepStrictEqual((await admin.listGroups()).groups.map(group => group.groupId), ['readers']);
    assert.strictEqual((await admin.describeGroups(['readers'])).groups[0].state, 'Empty');
    await admin.deleteGroups(['readers']);
    await admin.deleteTopics({ topics: ['orders'] });
    await producer.disconnect();
    await admin.disconnect();
    console.log('as expected');
}

main(process.argv[2]).then(() => process.exit(0), error => { console.error(error); process.exit(1); });
