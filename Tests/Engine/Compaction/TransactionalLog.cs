using System.Text;
using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Compaction;

/// <summary>A log with transactions, written as by a leader and read as by a client of Kafka.</summary>
internal sealed class TransactionalLog
{
    private readonly Dictionary<long, Producer> _producers;
    private long _number;

    public TransactionalLog(MemoryFileSystem disk, TopicConfig? config = null) => (Test, _producers) = (new TestLog(disk, config), []);

    private TransactionalLog(TestLog test, Dictionary<long, Producer> producers) => (Test, _producers) = (test, producers);

    public TestLog Test { get; }
    public SegmentedLog Log => Test.Log;

    /// <summary>Appends a batch to the open transaction of a producer, or begins one.</summary>
    public long Data(long producerId, params (string? Key, string? Value)[] records)
    {
        var producer = Of(producerId);
        using var builder = new RecordBatchBuilder();
        foreach (var (key, value) in records)
            builder.Add(Test.Time.NowMs, Bytes(key), key is not null, Bytes(value), value is not null);
        builder.SetProducer(producerId, producer.Epoch, producer.Sequence, transactional: true);
        producer.Sequence += records.Length;
        return Test.Append(builder.Build());
    }

    /// <inheritdoc cref="Data(long,ValueTuple{string,string}[])"/>
    public long Data(long producerId, string key, string? value) => Data(producerId, (key, value));

    /// <summary>Ends the transaction of a producer.</summary>
    public long End(long producerId, bool isCommit, int coordinatorEpoch = 0, bool raisesEpoch = false, bool hasNumber = true)
    {
        var producer = Of(producerId);
        if (raisesEpoch)
            (producer.Epoch, producer.Sequence) = ((short)(producer.Epoch + 1), 0);
        return Test.Append(new TransactionMarker(isCommit, coordinatorEpoch, hasNumber ? ++_number : 0)
            .ToBatch(producerId, producer.Epoch, Test.Time.NowMs));
    }

    /// <summary>Writes a rolled segment without transaction, so that the log is dirty.</summary>
    public void Dirty(string key)
    {
        Test.Append((key, "dirty"));
        Test.Roll();
    }

    /// <summary>Forgets all producers without an open transaction, as after a day.</summary>
    public void Forget()
    {
        lock (Log.AppendLock)
            Log.State.RemoveExpired(long.MaxValue, TimeSpan.Zero, Log.LogStartOffset);
    }

    /// <summary>Returns the headers of all batches.</summary>
    public List<RecordBatchHeader> Headers()
    {
        var headers = new List<RecordBatchHeader>();
        for (var offset = Log.LogStartOffset; offset < Log.LogEndOffset;)
        {
            using var batch = Log.Read(offset, Log.LogEndOffset, 1);
            if (batch is null)
                break;
            headers.Add(RecordBatchHeader.Read(batch.Memory.Span));
            offset = headers[^1].NextOffset;
        }
        return headers;
    }

    public RecordBatchHeader HeaderAt(long offset) => Headers().Single(header => header.BaseOffset == offset);

    public TransactionMarker? MarkerAt(long offset)
    {
        using var batch = Log.Read(offset, Log.LogEndOffset, 1)!;
        return TransactionMarker.Find(RecordBatchHeader.Read(batch.Memory.Span), batch.Memory.Span);
    }

    /// <summary>Returns the offsets of all markers.</summary>
    public IEnumerable<long> Markers() => Headers().Where(static header => header is { IsControl: true, RecordCount: > 0 })
        .Select(static header => header.BaseOffset);

    /// <summary>Reads what is committed, as Kafka's consumer does: it leaves out the records of the producers in the list of aborted
    /// transactions, from their first offset up to the next abort marker of the producer.</summary>
    /// <param name="from">Where to begin.</param>
    /// <param name="maxBytes">The most bytes of a fetch.</param>
    public List<Entry> Committed(long from, int maxBytes = 300)
    {
        var entries = new List<Entry>();
        var stable = Log.State.Transactions.StableOffset(Log.LogEndOffset);
        for (var position = from; position < stable;)
        {
            var segments = Log.Segments;
            using var batches = Log.Read(position, stable, maxBytes);
            if (batches is null)
                break;
            var end = TestLog.LastBatch(batches.Memory.Span).NextOffset;
            AddCommitted(batches.Memory, Log.FindAborted(segments, position, end)!, from, entries);
            position = end;
        }
        return entries;
    }

    /// <summary>Reads what is committed, as the broker's own readers do.</summary>
    public List<Entry> CommittedOfBroker(long from)
    {
        var entries = new List<Entry>();
        var stable = Log.State.Transactions.StableOffset(Log.LogEndOffset);
        for (var position = from; position < stable;)
        {
            using var batches = Log.Read(position, stable, 300, out var aborted);
            if (batches is null)
                break;
            position = TestLog.LastBatch(batches.Memory.Span).NextOffset;
            var left = aborted.LeaveOut(batches.Memory.Span);
            AddCommitted(batches.Memory[..left], [], from, entries);
        }
        return entries;
    }

    /// <summary>Opens a copy of the log that has nothing but its batches to tell its state. The indexes of aborted transactions stay: a log
    /// without known producers does not notice that they are lost.</summary>
    public TransactionalLog Scanned() => Without(static name => IsOfProducers(name));

    /// <summary>Opens a copy of the log that has lost the newest snapshot of its producers.</summary>
    public TransactionalLog WithoutNewestSnapshot()
    {
        var newest = Test.Disk.ListFiles(TestLog.Directory).Where(IsOfProducers).Select(Path.GetFileNameWithoutExtension).Max();
        return Without(name => IsOfProducers(name) && Path.GetFileNameWithoutExtension(name) == newest);
    }

    private static bool IsOfProducers(string name) => name.EndsWith(LogFiles.Producers, StringComparison.Ordinal)
        || name.EndsWith(".snapshot", StringComparison.Ordinal);

    private TransactionalLog Without(Predicate<string> isLost)
    {
        var disk = new MemoryFileSystem(tracksPowerCuts: false);
        disk.CreateDirectory(TestLog.Directory);
        foreach (var name in Test.Disk.ListFiles(TestLog.Directory).Where(name => !isLost(name)))
        {
            var path = Path.Combine(TestLog.Directory, name);
            using var from = Test.Disk.Open(path, FileOpening.Read);
            var bytes = new byte[from.Length];
            from.Read(bytes, 0);
            using var to = disk.Open(path, FileOpening.CreateOrTruncate);
            to.Write(bytes, 0);
        }
        return new TransactionalLog(new TestLog(disk, Log.Config, Test.Time), _producers);
    }

    /// <summary>Opens the log again after a kill.</summary>
    public TransactionalLog Reopened() => new(new TestLog(((MemoryFileSystem)Test.Disk).ProcessKill(), Log.Config, Test.Time), _producers)
    {
        _number = _number,
    };

    /// <summary>Copies the batches into a new log, as to a replica that begins.</summary>
    public TransactionalLog Replicated()
    {
        var copy = new TestLog(new MemoryFileSystem(tracksPowerCuts: false), Log.Config, Test.Time);
        for (var offset = Log.LogStartOffset; offset < Log.LogEndOffset;)
        {
            using var batch = Log.Read(offset, Log.LogEndOffset, 1);
            lock (copy.Log.AppendLock)
            {
                if (batch is null)
                {
                    copy.Log.AdvanceTo(Log.LogEndOffset);
                    break;
                }
                var header = RecordBatchHeader.Read(batch.Memory.Span);
                copy.Log.NoteGap();
                if (copy.Log.MustRoll(header, header.LastOffset, 0) != RollReason.None)
                    copy.Log.Roll(Test.Time.NowMs);
                copy.Log.Write([batch.Memory]);
                copy.Log.ApplyAppended(header, batch.Memory.Span, Test.Time.NowMs);
                offset = header.NextOffset;
            }
        }
        return new TransactionalLog(copy, _producers);
    }

    private static void AddCommitted(ReadOnlyMemory<byte> batches, IReadOnlyList<AbortedTransaction> aborted, long from,
        List<Entry> entries)
    {
        var next = new Queue<AbortedTransaction>(aborted.OrderBy(static one => one.First));
        var left = new HashSet<long>();
        while (!batches.IsEmpty)
        {
            var header = RecordBatchHeader.Read(batches.Span);
            var batch = batches[..header.SizeInBytes];
            batches = batches[header.SizeInBytes..];
            while (next.Count > 0 && next.Peek().First <= header.LastOffset)
                left.Add(next.Dequeue().ProducerId);
            if (header.IsControl && TransactionMarker.Find(header, batch.Span) is { IsCommit: false })
                left.Remove(header.ProducerId);
            using var reader = new RecordReader(batch, TestLog.Codecs);
            while (reader.MoveNext())
            {
                var record = reader.Current;
                if (!header.IsControl && !(header.IsTransactional && left.Contains(header.ProducerId)) && record.Offset >= from)
                    entries.Add(new Entry(record.Offset, record.Timestamp, Text(record.Key), Text(record.Value)));
            }
        }
    }

    private Producer Of(long producerId)
    {
        if (!_producers.TryGetValue(producerId, out var producer))
            _producers.Add(producerId, producer = new Producer());
        return producer;
    }

    private static byte[] Bytes(string? text) => text is null ? [] : Encoding.UTF8.GetBytes(text);

    private static string? Text(ReadOnlyMemory<byte>? bytes) => bytes is null ? null : Encoding.UTF8.GetString(bytes.Value.Span);

    private sealed class Producer
    {
        public short Epoch { get; set; }
        public int Sequence { get; set; }
    }
}
