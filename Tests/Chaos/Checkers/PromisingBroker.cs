using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Groups;
using OrleansMq.Records;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>An in-memory broker that keeps all promises but one, to prove that the checkers detect it. It breaks that promise when the log
/// has <see cref="BreaksAt"/> batches.</summary>
internal sealed class PromisingBroker(BrokenPromise broken) : IBroker
{
    public const int BreaksAt = 20;

    private readonly Lock _lock = new();
    private readonly Dictionary<TopicPartition, Log> _logs = [];
    private long _producerIds;

    /// <summary>Whether the promise has been broken.</summary>
    public bool HasBroken { get; private set; }

    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            var log = LogOf(partition);
            return ValueTask.FromResult(IsNow(log) ? AppendBroken(log, batch.ToArray()) : log.Append(batch.ToArray()));
        }
    }

    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            var log = LogOf(request.Partition);
            var records = log.From(request.Offset);
            var highWatermark = log.End;
            if (records.Length > 0 && log.Batches.Count > BreaksAt && broken is BrokenPromise.ChangesARecord or BrokenPromise.DamagesABatch
                or BrokenPromise.ShowsWhatIsNotCommitted)
            {
                // For every second reader.
                HasBroken = !HasBroken || broken != BrokenPromise.ChangesARecord;
                if (broken == BrokenPromise.ShowsWhatIsNotCommitted)
                    highWatermark = request.Offset;
                else if (records.Length > 0 && HasBroken)
                    Change(records);
            }
            return ValueTask.FromResult(new FetchResult(ErrorCode.None, highWatermark, highWatermark, 0, records));
        }
    }

    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            var log = LogOf(partition);
            HasBroken |= broken == BrokenPromise.ForgetsTheLatestOffset && log.Batches.Count > BreaksAt;
            return ValueTask.FromResult(new OffsetResult(ErrorCode.None, broken == BrokenPromise.ForgetsTheLatestOffset && HasBroken
                ? log.End - 1 : log.End));
        }
    }

    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) =>
        ValueTask.FromResult(new ProducerIdentity(Interlocked.Increment(ref _producerIds), 0));

    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult(new TopicListing(topic, Guid.Empty, 64));

    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) => throw new NotSupportedException();
    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();
    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public IClusterAdministration Administration => SoleBrokerAdministration.Instance;

    public IGroupCoordinator Groups => NoGroupCoordinator.Instance;

    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    private bool IsNow(Log log) => !HasBroken && log.Batches.Count >= BreaksAt;

    private ProduceResult AppendBroken(Log log, byte[] batch)
    {
        HasBroken = broken is BrokenPromise.ForgetsABatch or BrokenPromise.TruncatesWhatItAcknowledged or BrokenPromise.DoublesABatch
            or BrokenPromise.ReordersBatches or BrokenPromise.LeavesAHole or BrokenPromise.KeepsWhatItRefused;
        switch (broken)
        {
            case BrokenPromise.ForgetsABatch:
                return new ProduceResult(ErrorCode.None, -1);
            case BrokenPromise.TruncatesWhatItAcknowledged:
                log.Batches.RemoveAt(log.Batches.Count - 1);
                return log.Append(batch);
            case BrokenPromise.DoublesABatch:
                log.Append((byte[])batch.Clone());
                return log.Append(batch);
            case BrokenPromise.ReordersBatches:
                // The previous batch is from the same producer; its offset was not read from the log yet.
                log.Append(batch);
                log.ExchangeLastTwo();
                return new ProduceResult(ErrorCode.None, -1);
            case BrokenPromise.LeavesAHole:
                return log.Append(batch, gap: 1);
            case BrokenPromise.KeepsWhatItRefused:
                log.Append(batch);
                return ProduceResult.Failed(ErrorCode.InvalidRecord, "No.");
            default:
                return log.Append(batch);
        }
    }

    private void Change(byte[] records)
    {
        var header = RecordBatchHeader.Read(records);
        // The lowest bit of the first record's value, near its end.
        records[header.SizeInBytes - 2] ^= 1;
        if (broken == BrokenPromise.ChangesARecord)
        {
            // A valid batch, with another offset.
            records[header.SizeInBytes - 2] ^= 1;
            RecordBatchHeader.StampBaseOffset(records, header.BaseOffset + 1);
        }
    }

    private Log LogOf(TopicPartition partition)
    {
        if (!_logs.TryGetValue(partition, out var log))
            _logs.Add(partition, log = new Log());
        return log;
    }

    private sealed class Log
    {
        public List<byte[]> Batches { get; } = [];

        public long End => Batches.Count == 0 ? 0 : RecordBatchHeader.Read(Batches[^1]).NextOffset;

        public ProduceResult Append(byte[] batch, int gap = 0)
        {
            var offset = End + gap;
            RecordBatchHeader.StampBaseOffset(batch, offset);
            Batches.Add(batch);
            return new ProduceResult(ErrorCode.None, offset);
        }

        public void ExchangeLastTwo()
        {
            var (before, last) = (Batches[^2], Batches[^1]);
            Batches.RemoveRange(Batches.Count - 2, 2);
            Append(last);
            Append(before);
        }

        public byte[] From(long offset) =>
            [.. Batches.Where(batch => RecordBatchHeader.Read(batch).NextOffset > offset).Take(50).SelectMany(batch => batch)];
    }
}
