import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogSegment;

/** Writes a partition's directory by Kafka's own log code, and prints each record: offset timestamp value. */
public class SegmentWriter {
    private static final int SEGMENTS = 4;
    private static final int BATCHES = 60;

    public static void main(String[] args) throws Exception {
        File directory = new File(args[0]);
        Files.createDirectories(directory.toPath());
        Files.writeString(Path.of(args[0], "partition.metadata"), "version: 0\ntopic_id: " + Uuid.randomUuid());
        LogConfig config = new LogConfig(Map.of("segment.bytes", "10485760"));
        Random random = new Random(3);
        StringBuilder printed = new StringBuilder();
        long offset = 0;
        for (int s = 0; s < SEGMENTS; s++) {
            LogSegment segment = LogSegment.open(directory, offset, config, Time.SYSTEM, 0, false);
            for (int b = 0; b < BATCHES; b++) {
                SimpleRecord[] records = batch(random, offset, printed);
                CompressionType codec = CompressionType.values()[b % CompressionType.values().length];
                segment.append(offset + records.length - 1, MemoryRecords.withRecords(offset, Compression.of(codec).build(), records));
                offset += records.length;
            }
            segment.onBecomeInactiveSegment();
            segment.flush();
            segment.close();
        }
        System.out.print(printed);
    }

    private static SimpleRecord[] batch(Random random, long offset, StringBuilder printed) {
        List<SimpleRecord> records = new ArrayList<>();
        int count = 1 + random.nextInt(30);
        for (int i = 0; i < count; i++) {
            long timestamp = 1_700_000_000_000L + (offset + i) * 10 + random.nextInt(500);
            String value = Long.toHexString(random.nextLong()).repeat(1 + random.nextInt(20));
            records.add(new SimpleRecord(timestamp, null, value.getBytes()));
            printed.append(offset + i).append(' ').append(timestamp).append(' ').append(value).append('\n');
        }
        return records.toArray(new SimpleRecord[0]);
    }
}
