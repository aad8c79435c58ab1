import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeProducersResult;
import org.apache.kafka.clients.admin.DescribeTransactionsResult;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;

/**
 * A producer of transactions, a copier from one topic to another, a reader or an administrator, which says what it does and is told, one
 * event a line: transaction-event KIND NANOS WORDS. It ends when it is fenced or cannot go on. SIGTERM and the end of standard input stop
 * it after its transaction.
 *
 * writer|copier SERVERS TRANSACTIONAL_ID INSTANCE SEED PARTITIONS, or scan SERVERS READER PARTITIONS, or
 * observe SERVERS TRANSACTIONAL_ID,... PARTITIONS
 */
public class TransactionClient {
    private static final String SOURCE = "source";
    private static final String OUTPUT = "output";
    private static volatile boolean stopping;

    private final String servers;
    private final String instance;
    private final Random random;
    private final int partitions;
    private KafkaProducer<String, String> producer;
    private int transactions;
    private int values;

    private TransactionClient(String servers, String instance, long seed, int partitions) {
        this.servers = servers;
        this.instance = instance;
        this.random = new Random(seed);
        this.partitions = partitions;
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("scan")) {
            scan(args[1], args[2], Integer.parseInt(args[3]));
            return;
        }
        stopWhenAsked();
        if (args[0].equals("observe")) {
            observe(args[1], List.of(args[2].split(",")), Integer.parseInt(args[3]));
            return;
        }
        TransactionClient client = new TransactionClient(args[1], args[3], Long.parseLong(args[4]), Integer.parseInt(args[5]));
        try {
            client.initialise(args[2]);
            if (args[0].equals("writer"))
                client.write();
            else
                client.copy();
        } catch (KafkaException fatal) {
            System.out.println(client.instance + " ends: " + fatal);
            Runtime.getRuntime().halt(0);
        }
    }

    private static void stopWhenAsked() {
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
    }

    private void initialise(String id) {
        Properties properties = properties(servers);
        properties.put("transactional.id", id);
        properties.put("transaction.timeout.ms", "6000");
        properties.put("delivery.timeout.ms", "8000");
        properties.put("linger.ms", "1");
        properties.put("max.block.ms", "20000");
        properties.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        properties.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        producer = new KafkaProducer<>(properties);
        long asked = System.nanoTime();
        retried(producer::initTransactions);
        say("Initialised", id, instance, asked);
    }

    private void write() {
        while (!stopping) {
            String transaction = begin();
            try {
                int count = random.nextInt(10) == 0 ? 0 : 1 + random.nextInt(4);
                for (int i = 0; i < count; i++) {
                    send(transaction, SOURCE, "-");
                    pause(20);
                }
                end(transaction, random.nextInt(4) > 0);
            } catch (KafkaException failed) {
                abort(transaction, failed);
            }
            pause(40);
        }
        producer.close();
    }

    private void copy() {
        Properties properties = properties(servers);
        properties.put("group.id", "copiers");
        properties.put("enable.auto.commit", "false");
        properties.put("session.timeout.ms", "6000");
        properties.put("heartbeat.interval.ms", "1000");
        properties.put("max.poll.records", "10");
        try (KafkaConsumer<String, String> consumer = reader(properties)) {
            consumer.subscribe(List.of(SOURCE));
            while (!stopping) {
                ConsumerRecords<String, String> polled = consumer.poll(Duration.ofMillis(200));
                if (polled.isEmpty())
                    continue;
                String transaction = begin();
                try {
                    Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                    for (ConsumerRecord<String, String> record : polled) {
                        sawIn("Polled", instance, record);
                        send(transaction, OUTPUT, record.value());
                        next.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                    }
                    retried(() -> producer.sendOffsetsToTransaction(next, consumer.groupMetadata()));
                    if (!end(transaction, random.nextInt(5) > 0))
                        returnTo(consumer);
                } catch (KafkaException failed) {
                    abort(transaction, failed);
                    returnTo(consumer);
                }
            }
        }
        producer.close();
    }

    // Back to what the group has committed.
    private static void returnTo(KafkaConsumer<String, String> consumer) {
        Collection<TopicPartition> assigned = consumer.assignment();
        Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(new java.util.HashSet<>(assigned), Duration.ofSeconds(60));
        for (TopicPartition partition : assigned) {
            OffsetAndMetadata offset = committed.get(partition);
            if (offset == null)
                consumer.seekToBeginning(List.of(partition));
            else
                consumer.seek(partition, offset);
        }
    }

    private String begin() {
        producer.beginTransaction();
        return instance + "/" + transactions++;
    }

    private void send(String transaction, String topic, String source) {
        int partition = random.nextInt(partitions);
        String value = instance + ":" + values++;
        say("Sending", transaction, topic, partition, value, source);
        producer.send(new ProducerRecord<>(topic, partition, null, value), (stored, failed) -> {
            if (failed == null)
                say("Stored", topic, partition, stored.offset(), value);
        });
    }

    private boolean end(String transaction, boolean commits) {
        String end = commits ? "Commit" : "Abort";
        if (!commits)
            pause(20);
        say("Asking", transaction, end);
        retried(commits ? producer::commitTransaction : producer::abortTransaction);
        say("Ended", transaction, end);
        return commits;
    }

    // A failure that allows no abort is thrown again by it.
    private void abort(String transaction, KafkaException failed) {
        System.out.println(transaction + " is aborted: " + failed);
        end(transaction, false);
    }

    // The same request again: another one is not allowed before its outcome is known.
    private static void retried(Runnable request) {
        for (int attempt = 0; ; attempt++) {
            try {
                request.run();
                return;
            } catch (TimeoutException late) {
                if (attempt == 5 || stopping)
                    throw late;
            }
        }
    }

    private static void scan(String servers, String name, int partitions) {
        try (KafkaConsumer<String, String> consumer = reader(properties(servers))) {
            for (String topic : List.of(SOURCE, OUTPUT)) {
                List<TopicPartition> all = java.util.stream.IntStream.range(0, partitions)
                    .mapToObj(partition -> new TopicPartition(topic, partition)).toList();
                consumer.assign(all);
                consumer.seekToBeginning(all);
                Map<TopicPartition, Long> ends = consumer.endOffsets(all);
                while (all.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition)))
                    for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1)))
                        sawIn("Read", name, record);
            }
        }
    }

    // Partitions and transactional ids apart: a coordinator that is away does not hold up what leaders tell.
    private static void observe(String servers, List<String> ids, int partitions) throws InterruptedException {
        List<TopicPartition> all = new ArrayList<>();
        for (String topic : List.of(SOURCE, OUTPUT))
            for (int partition = 0; partition < partitions; partition++)
                all.add(new TopicPartition(topic, partition));
        Properties properties = properties(servers);
        properties.put("default.api.timeout.ms", "8000");
        try (Admin admin = Admin.create(properties)) {
            Thread ends = new Thread(() -> repeat(() -> {
                observeEnds(admin, all, IsolationLevel.READ_COMMITTED, "Committed");
                observeEnds(admin, all, IsolationLevel.READ_UNCOMMITTED, "All");
                observeOpen(admin, all);
            }));
            ends.start();
            repeat(() -> {
                observeIds(admin, ids);
                observeList(admin);
            });
            ends.join();
        }
    }

    private static void repeat(Runnable request) {
        while (!stopping) {
            request.run();
            try {
                Thread.sleep(200);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    private static void observeEnds(Admin admin, List<TopicPartition> all, IsolationLevel isolation, String name) {
        long asked = System.nanoTime();
        ListOffsetsResult told = admin.listOffsets(all.stream().collect(Collectors.toMap(partition -> partition,
            partition -> OffsetSpec.latest())), new ListOffsetsOptions(isolation));
        waitFor(all.stream().map(partition -> told.partitionResult(partition).whenComplete((end, failed) -> {
            if (failed == null)
                say("End", partition.topic(), partition.partition(), name, asked, end.leaderEpoch().orElse(-1), end.offset());
        })).toList());
    }

    private static void observeOpen(Admin admin, List<TopicPartition> all) {
        long asked = System.nanoTime();
        DescribeProducersResult told = admin.describeProducers(all);
        waitFor(all.stream().map(partition -> told.partitionResult(partition).whenComplete((state, failed) -> {
            if (failed != null)
                return;
            String open = state.activeProducers().stream().filter(producer -> producer.currentTransactionStartOffset().isPresent())
                .map(producer -> producer.producerId() + "@" + producer.currentTransactionStartOffset().getAsLong())
                .collect(Collectors.joining(","));
            say("Open", partition.topic(), partition.partition(), asked, open.isEmpty() ? "-" : open);
        })).toList());
    }

    private static void observeIds(Admin admin, List<String> ids) {
        long asked = System.nanoTime();
        DescribeTransactionsResult told = admin.describeTransactions(ids);
        waitFor(ids.stream().map(id -> told.description(id).whenComplete((transaction, failed) -> {
            if (failed == null)
                say("Described", id, asked, transaction.producerId(), transaction.producerEpoch(), -1, transaction.state());
            else if (failed instanceof TransactionalIdNotFoundException || failed.getCause() instanceof TransactionalIdNotFoundException)
                say("Described", id, asked, -1, -1, -1, "None");
        })).toList());
    }

    private static void observeList(Admin admin) {
        long asked = System.nanoTime();
        waitFor(List.of(admin.listTransactions().all().whenComplete((all, failed) -> {
            if (failed != null)
                return;
            String listed = all.stream().map(one -> one.transactionalId() + "=" + one.state()).collect(Collectors.joining(","));
            say("Listed", asked, listed.isEmpty() ? "-" : listed);
        })));
    }

    // What cannot be told now is asked again.
    private static void waitFor(List<? extends KafkaFuture<?>> told) {
        for (KafkaFuture<?> one : told) {
            try {
                one.get();
            } catch (ExecutionException failed) {
                System.out.println("not told: " + failed.getCause());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    private static KafkaConsumer<String, String> reader(Properties properties) {
        properties.put("isolation.level", "read_committed");
        properties.put("auto.offset.reset", "earliest");
        properties.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        properties.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        return new KafkaConsumer<>(properties);
    }

    private static Properties properties(String servers) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", servers);
        properties.put("request.timeout.ms", "4000");
        properties.put("reconnect.backoff.max.ms", "500");
        return properties;
    }

    private void pause(int millis) {
        try {
            Thread.sleep(random.nextInt(millis));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void sawIn(String kind, String reader, ConsumerRecord<String, String> record) {
        say(kind, reader, record.topic(), record.partition(), record.offset(), record.value());
    }

    // A line in one write, and none is delayed: what was said is known although the process is killed.
    private static void say(String kind, Object... words) {
        StringBuilder line = new StringBuilder("transaction-event ").append(kind).append(' ').append(System.nanoTime());
        for (Object word : words)
            line.append(' ').append(word);
        synchronized (System.out) {
            System.out.println(line);
        }
    }
}
