import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.config.ConfigResource;

/**
 * A member of a share group that says what it receives and acknowledges, one event a line:
 * share-event KIND PARTITION OFFSET PRODUCER NUMBER COUNT NANOS. Of a delivery, NANOS is a time before the record was fetched; of a
 * settlement, one after it was answered. SIGTERM and the end of standard input stop it.
 */
public class ShareConsumer {
    private static volatile boolean stopping;

    public static void main(String[] args) throws Exception {
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            try {
                main.join(20_000);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        Thread parent = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                }
            } catch (java.io.IOException gone) {
                // As its end.
            }
            stopping = true;
        });
        parent.setDaemon(true);
        parent.start();
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        startAtEarliest(properties, args[1]);
        properties.put("group.id", args[1]);
        properties.put("share.acknowledgement.mode", "explicit");
        properties.put("max.poll.records", "1000");
        properties.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        properties.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        try (KafkaShareConsumer<byte[], byte[]> consumer = new KafkaShareConsumer<>(properties)) {
            consumer.subscribe(List.of(args[2]));
            consume(consumer);
        }
    }

    private static void startAtEarliest(Properties properties, String group) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
        while (!stopping) {
            try (Admin admin = Admin.create(properties)) {
                admin.incrementalAlterConfigs(Map.of(resource, List.of(
                    set("share.auto.offset.reset", "earliest"), set("share.record.lock.duration.ms", "15000")))).all().get();
                return;
            } catch (java.util.concurrent.ExecutionException retried) {
                System.err.println("The group's configuration is retried: " + retried.getMessage());
            }
        }
    }

    private static AlterConfigOp set(String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    }

    private static void consume(KafkaShareConsumer<byte[], byte[]> consumer) {
        // A poll returns what was fetched since the one before began, or a little earlier.
        long[] polls = {System.nanoTime(), System.nanoTime(), System.nanoTime()};
        while (!stopping) {
            polls[0] = polls[1];
            polls[1] = polls[2];
            polls[2] = System.nanoTime();
            List<ConsumerRecord<byte[], byte[]>> settled = new ArrayList<>();
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                say("Delivered", record, polls[0]);
                AcknowledgeType type = typeOf(record);
                if (type != AcknowledgeType.RELEASE) {
                    say("Tried", record, 0);
                    settled.add(record);
                }
                consumer.acknowledge(record, type);
            }
            Map<TopicIdPartition, Optional<KafkaException>> results = consumer.commitSync();
            long answered = System.nanoTime();
            for (ConsumerRecord<byte[], byte[]> record : settled) {
                if (results.entrySet().stream().anyMatch(result -> result.getKey().partition() == record.partition()
                    && result.getValue().isEmpty()))
                    say("Settled", record, answered);
            }
        }
    }

    private static AcknowledgeType typeOf(ConsumerRecord<byte[], byte[]> record) {
        long number = number(record);
        if (number % 20 == 1)
            return AcknowledgeType.REJECT;
        return number % 20 == 3 && record.deliveryCount().orElse((short) 1) == 1 ? AcknowledgeType.RELEASE : AcknowledgeType.ACCEPT;
    }

    private static long number(ConsumerRecord<byte[], byte[]> record) {
        return ByteBuffer.wrap(record.value()).getLong(4);
    }

    private static void say(String kind, ConsumerRecord<byte[], byte[]> record, long nanos) {
        System.out.println("share-event " + kind + " " + record.partition() + " " + record.offset() + " "
            + ByteBuffer.wrap(record.value()).getInt(0) + " " + number(record) + " " + record.deliveryCount().orElse((short) 0) + " "
            + nanos);
    }
}
