import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** What Kafka's share consumer and administration client see of a broker, as lines. */
public class ShareGroups {
    private static final TopicPartition PARTITION = new TopicPartition("work", 0);
    private static String server;

    public static void main(String[] args) throws Exception {
        server = args[0];
        try (Admin admin = Admin.create(properties())) {
            admin.createTopics(List.of(new NewTopic("work", 1, (short) -1))).all().get();
            ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, "g");
            admin.incrementalAlterConfigs(Map.of(group, List.of(
                set("share.auto.offset.reset", "earliest"), set("share.record.lock.duration.ms", "15000")))).all().get();
            ConfigEntry start = admin.describeConfigs(List.of(group)).all().get().get(group).get("share.auto.offset.reset");
            say("config", start.value(), start.source());
            send(0, 10);
            acknowledge();
            send(10, 3);
            release();
            say("offset", admin.listShareGroupOffsets(Map.of("g", new ListShareGroupOffsetsSpec())).partitionsToOffsetInfo("g").get()
                .get(PARTITION).lag().get());
            admin.alterShareGroupOffsets("g", Map.of(PARTITION, 0L)).all().get();
            try (KafkaShareConsumer<String, String> consumer = consumer("implicit")) {
                say("moved", all(consumer, 13).size());
            }
            admin.deleteShareGroupOffsets("g", Set.of("work")).all().get();
            admin.deleteShareGroups(List.of("g")).all().get();
            say("groups", admin.listGroups().all().get().size());
        }
    }

    private static void acknowledge() {
        try (KafkaShareConsumer<String, String> consumer = consumer("explicit")) {
            List<ConsumerRecord<String, String>> records = some(consumer);
            say("first", records.size(), consumer.acquisitionLockTimeoutMs().get());
            for (ConsumerRecord<String, String> record : records)
                consumer.acknowledge(record, type(record.offset()));
            say("commit", isDone(consumer));
            records = some(consumer);
            say("again", records.size(), records.get(0).deliveryCount().get());
            for (ConsumerRecord<String, String> record : records)
                consumer.acknowledge(record, AcknowledgeType.RENEW);
            say("renew", isDone(consumer));
            for (ConsumerRecord<String, String> record : some(consumer))
                consumer.acknowledge(record, AcknowledgeType.ACCEPT);
            say("accept", isDone(consumer));
        }
    }

    private static void release() {
        try (KafkaShareConsumer<String, String> one = consumer("explicit")) {
            say("held", all(one, 1).size() > 0);
        }
        try (KafkaShareConsumer<String, String> two = consumer("implicit")) {
            say("returned", all(two, 3).size(), isDone(two));
        }
    }

    private static AcknowledgeType type(long offset) {
        return offset < 5 ? AcknowledgeType.ACCEPT : offset < 8 ? AcknowledgeType.RELEASE : AcknowledgeType.REJECT;
    }

    private static boolean isDone(KafkaShareConsumer<String, String> consumer) {
        return consumer.commitSync().values().stream().allMatch(Optional::isEmpty);
    }

    /** Polls until there are that many records; records of earlier polls are accepted where that is implicit. */
    private static List<ConsumerRecord<String, String>> all(KafkaShareConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (records.size() < count && System.nanoTime() < end)
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        return records;
    }

    private static List<ConsumerRecord<String, String>> some(KafkaShareConsumer<String, String> consumer) {
        return all(consumer, 1);
    }

    private static KafkaShareConsumer<String, String> consumer(String mode) {
        Properties properties = properties();
        properties.put("group.id", "g");
        properties.put("share.acknowledgement.mode", mode);
        KafkaShareConsumer<String, String> consumer = new KafkaShareConsumer<>(properties);
        consumer.subscribe(List.of("work"));
        return consumer;
    }

    private static void send(int from, int count) {
        Properties properties = properties();
        properties.put("linger.ms", "1000");
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties)) {
            for (int i = from; i < from + count; i++)
                producer.send(new ProducerRecord<>("work", "record " + i));
        }
    }

    private static AlterConfigOp set(String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    }

    private static Properties properties() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", server);
        for (String side : List.of("key", "value")) {
            properties.put(side + ".serializer", "org.apache.kafka.common.serialization.StringSerializer");
            properties.put(side + ".deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        }
        return properties;
    }

    private static void say(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object word : words)
            line.append(line.length() > 0 ? " " : "").append(word);
        System.out.println(line);
    }
}
