import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** What Kafka's producer and administration client see of transactions, as lines. */
public class TransactionalProducer {
    private static final TopicPartition FIRST = new TopicPartition("orders", 0);
    private static final TopicPartition SECOND = new TopicPartition("orders", 1);
    private static String server;

    public static void main(String[] args) throws Exception {
        server = args[0];
        try (Admin admin = Admin.create(properties()); KafkaProducer<String, String> one = producer("tx")) {
            admin.createTopics(List.of(new NewTopic("orders", 2, (short) -1))).all().get();
            say("level", admin.describeFeatures().featureMetadata().get().finalizedFeatures().get("transaction.version").maxVersionLevel());
            one.initTransactions();
            transact(one, true, "a", "b");
            transact(one, false, "c");
            transact(one, true, "d");
            say("committed", read("read_committed"));
            say("all", read("read_uncommitted"));
            for (int number = 0; number < 20; number++)
                transact(one, number % 2 == 0, "n" + number, "m" + number);
            say("many", read("read_committed").size(), read("read_uncommitted").size());

            one.beginTransaction();
            one.send(new ProducerRecord<>("orders", 0, null, "open")).get();
            TransactionDescription open = admin.describeTransactions(List.of("tx")).description("tx").get();
            say("open", open.state(), open.topicPartitions(), open.transactionStartTimeMs().isPresent());
            say("listed", admin.listTransactions().all().get().size(), state(admin, FIRST).currentTransactionStartOffset().isPresent(),
                state(admin, SECOND).currentTransactionStartOffset().isPresent());
            try (KafkaProducer<String, String> other = producer("tx")) {
                other.initTransactions();
                say("fenced", failure(one::commitTransaction));
                transact(other, true, "e");
                say("aborted", state(admin, FIRST).currentTransactionStartOffset().isPresent());
                hang(admin, other);
            }
            admin.fenceProducers(List.of("tx")).all().get();
        }
    }

    // As kafka-transactions does where a coordinator has forgotten a transaction.
    private static void hang(Admin admin, KafkaProducer<String, String> producer) throws Exception {
        producer.beginTransaction();
        producer.send(new ProducerRecord<>("orders", 0, null, "hanging")).get();
        ProducerState state = state(admin, FIRST);
        admin.abortTransaction(new AbortTransactionSpec(FIRST, state.producerId(), (short) state.producerEpoch(),
            Math.max(state.coordinatorEpoch().orElse(0), 0))).all().get();
        say("ended", state(admin, FIRST).currentTransactionStartOffset().isPresent());
        producer.abortTransaction();
        transact(producer, true, "f");
        Set<String> read = read("read_committed");
        say("after", read.contains("e"), read.contains("f"), read.contains("open"), read.contains("hanging"));
    }

    private static void transact(KafkaProducer<String, String> producer, boolean commits, String... values) {
        producer.beginTransaction();
        for (int partition = 0; partition < values.length; partition++)
            producer.send(new ProducerRecord<>("orders", partition, null, values[partition]));
        if (commits) {
            producer.commitTransaction();
        } else {
            producer.flush();
            producer.abortTransaction();
        }
    }

    private static ProducerState state(Admin admin, TopicPartition partition) throws Exception {
        List<ProducerState> states = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
        return states.get(states.size() - 1);
    }

    private static Set<String> read(String isolation) {
        Properties properties = properties();
        properties.putAll(Map.of("isolation.level", isolation, "key.deserializer",
            "org.apache.kafka.common.serialization.StringDeserializer", "value.deserializer",
            "org.apache.kafka.common.serialization.StringDeserializer"));
        Set<String> read = new TreeSet<>();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(properties)) {
            List<TopicPartition> partitions = List.of(FIRST, SECOND);
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition)))
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1)))
                    read.add(record.value());
        }
        return read;
    }

    private static String failure(Runnable action) {
        try {
            action.run();
            return "none";
        } catch (RuntimeException refused) {
            return refused.getClass().getSimpleName();
        }
    }

    private static KafkaProducer<String, String> producer(String id) {
        Properties properties = properties();
        properties.putAll(Map.of("transactional.id", id, "key.serializer", "org.apache.kafka.common.serialization.StringSerializer",
            "value.serializer", "org.apache.kafka.common.serialization.StringSerializer"));
        return new KafkaProducer<>(properties);
    }

    private static Properties properties() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", server);
        return properties;
    }

    private static void say(Object... words) {
        List<String> said = new ArrayList<>();
        for (Object word : words)
            said.add(String.valueOf(word));
        System.out.println(String.join(" ", said));
    }
}
