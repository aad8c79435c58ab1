import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

/** Writes batches with Kafka's own code, or prints foreign batches, one record a line: offset timestamp key value headers. */
public class RecordExchange {
    public static void main(String[] args) throws Exception {
        if (args[0].equals("write")) {
            for (CompressionType type : CompressionType.values()) {
                MemoryRecords records = MemoryRecords.withRecords(5L, Compression.of(type).build(), sample());
                byte[] bytes = new byte[records.sizeInBytes()];
                records.buffer().get(bytes);
                Files.write(Path.of(args[1], type.name + ".batch"), bytes);
                print(type.name, records);
            }
        } else {
            for (CompressionType type : CompressionType.values())
                print(type.name, MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(Path.of(args[1], type.name + ".batch")))));
        }
    }

    private static SimpleRecord[] sample() {
        Random random = new Random(7);
        List<SimpleRecord> records = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            byte[] key = i % 5 == 0 ? null : ("key " + i).getBytes();
            byte[] value = i % 7 == 0 ? null : new byte[random.nextInt(400)];
            if (value != null && i % 3 == 0)
                random.nextBytes(value);
            Header[] headers = i % 4 == 0 ? new Header[0] : new Header[] {new RecordHeader("h" + i, i % 2 == 0 ? null : new byte[] {1, 2})};
            records.add(new SimpleRecord(1_700_000_000_000L + (i % 2 == 0 ? i : -i), key, value, headers));
        }
        return records.toArray(new SimpleRecord[0]);
    }

    private static void print(String name, MemoryRecords records) {
        for (var batch : records.batches()) {
            batch.ensureValid();
            System.out.println("batch " + name + " " + batch.compressionType().name + " " + batch.producerId() + " " + batch.producerEpoch()
                + " " + batch.baseSequence() + " " + batch.lastSequence() + " " + batch.maxTimestamp());
            for (var record : batch) {
                StringBuilder line = new StringBuilder().append(record.offset()).append(' ').append(record.timestamp());
                line.append(' ').append(hex(record.key())).append(' ').append(hex(record.value()));
                for (Header header : record.headers())
                    line.append(' ').append(header.key()).append('=').append(header.value() == null ? "null" : hex(ByteBuffer.wrap(header.value())));
                System.out.println(line);
            }
        }
    }

    private static String hex(ByteBuffer buffer) {
        if (buffer == null)
            return "null";
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return "x" + HexFormat.of().formatHex(bytes);
    }
}
