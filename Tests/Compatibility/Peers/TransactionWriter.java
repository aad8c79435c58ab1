import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Writes committed, aborted and open transactions of several producers to a broker, over several segments, and prints what its readers see,
 * one record a line: read_committed|read_uncommitted OFFSET VALUE, and at the end of each: ISOLATION end OFFSET.
 */
public class TransactionWriter {
    private static final TopicPartition PARTITION = new TopicPartition("theirs", 0);
    private static final int PRODUCERS = 3;
    private static final int ROUNDS = 90;

    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        try (Admin admin = Admin.create(properties)) {
            admin.createTopics(List.of(new NewTopic("theirs", 1, (short) 1).configs(Map.of("segment.bytes", "1048576",
                "retention.ms", "-1")))).all().get();
        }
        write(properties);
        read(properties, "read_committed");
        read(properties, "read_uncommitted");
        // What is open stays open, as after a crash.
        Runtime.getRuntime().halt(0);
    }

    private static void write(Properties properties) throws Exception {
        Random random = new Random(11);
        List<KafkaProducer<byte[], String>> producers = new java.util.ArrayList<>();
        for (int i = 0; i < PRODUCERS; i++)
            producers.add(producer(properties, "tx" + i));
        boolean[] open = new boolean[PRODUCERS];
        for (int round = 0; round < ROUNDS; round++) {
            // The last transaction of the first producer stays open.
            int one = random.nextInt(PRODUCERS);
            KafkaProducer<byte[], String> producer = producers.get(one);
            if (!open[one]) {
                producer.beginTransaction();
                open[one] = true;
            }
            for (int i = random.nextInt(4); i >= 0; i--) {
                String value = one + "-" + round + "-" + i + "-" + "v".repeat(random.nextInt(60_000));
                producer.send(new ProducerRecord<>("theirs", 0, null, value)).get();
            }
            if (random.nextBoolean() && (one > 0 || round < ROUNDS / 2)) {
                if (random.nextBoolean())
                    producer.commitTransaction();
                else
                    producer.abortTransaction();
                open[one] = false;
            }
        }
    }

    private static KafkaProducer<byte[], String> producer(Properties base, String id) {
        Properties properties = new Properties();
        properties.putAll(base);
        properties.put("transactional.id", id);
        properties.put("transaction.timeout.ms", "600000");
        properties.put("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        properties.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        KafkaProducer<byte[], String> producer = new KafkaProducer<>(properties);
        producer.initTransactions();
        return producer;
    }

    private static void read(Properties base, String isolation) {
        Properties properties = new Properties();
        properties.putAll(base);
        properties.put("isolation.level", isolation);
        properties.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        properties.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        try (KafkaConsumer<byte[], String> consumer = new KafkaConsumer<>(properties)) {
            consumer.assign(List.of(PARTITION));
            consumer.seekToBeginning(List.of(PARTITION));
            long end = consumer.endOffsets(List.of(PARTITION)).get(PARTITION);
            while (consumer.position(PARTITION) < end)
                for (ConsumerRecord<byte[], String> record : consumer.poll(Duration.ofSeconds(1)))
                    System.out.println(isolation + " " + record.offset() + " " + record.value());
            System.out.println(isolation + " end " + end);
        }
    }
}
