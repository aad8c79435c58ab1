using System.Text;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Compaction;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>What a sender knows of a batch.</summary>
internal enum BatchState
{
    /// <summary>Sent, and never answered: it may be in the log.</summary>
    Unanswered = 0,
    /// <summary>Acknowledged, with its offset; or found in the log after a restart.</summary>
    Acknowledged = 1,
    /// <summary>Refused by a broker that went on: it is not in the log.</summary>
    Refused = 2,
    /// <summary>Not found after a restart that was allowed to lose it: it stays lost.</summary>
    Lost = 3,
}

/// <summary>A record that was sent. The id, in a header, is unlike that of any other record.</summary>
internal sealed record SentRecord(string Id, string Key, string? Value, long Timestamp);

/// <summary>A batch that was sent.</summary>
internal sealed class SentBatch(long producerId, int sequence, CompressionType compression, IReadOnlyList<SentRecord> records)
{
    private static readonly byte[] IdName = "id"u8.ToArray();

    public long ProducerId { get; } = producerId;
    public int Sequence { get; } = sequence;
    public IReadOnlyList<SentRecord> Records { get; } = records;
    public BatchState State { get; set; }
    public long Offset { get; set; } = -1;
    /// <summary>Whether it was refused once: what was written of it then, and cut off, may come back by a power cut.</summary>
    public bool WasRefused { get; set; }
    /// <summary>Whether no crash may lose it.</summary>
    public bool Durable { get; set; }
    public long LastOffset => Offset + Records.Count - 1;

    /// <summary>Its bytes; a new copy each time, since a broker stamps what it is given.</summary>
    public byte[] Encode()
    {
        using var builder = new RecordBatchBuilder(compression, TestLog.Codecs);
        foreach (var record in Records)
        {
            var headers = new[] { new RecordHeader(IdName, Encoding.UTF8.GetBytes(record.Id)) };
            builder.Add(record.Timestamp, Encoding.UTF8.GetBytes(record.Key), true, record.Value is null
                ? [] : Encoding.UTF8.GetBytes(record.Value),
                record.Value is not null, headers);
        }
        if (ProducerId >= 0)
            builder.SetProducer(ProducerId, 0, Sequence);
        return builder.Build().ToArray();
    }

    public void Acknowledge(long offset, bool durable)
    {
        State = BatchState.Acknowledged;
        Offset = offset;
        Durable = durable;
    }
}

/// <summary>All that was sent to one partition, and what is known of it: what the checker judges by. Knows nothing of files.</summary>
internal sealed class Ledger
{
    private readonly Dictionary<string, (SentBatch Batch, int Index)> _byId = new(StringComparer.Ordinal);

    public List<SentBatch> Batches { get; } = [];
    /// <summary>The log start offset that delete-records or retention made sure of.</summary>
    public long LogStart { get; set; }
    /// <summary>The highest log start offset that was asked for, or that retention may have gone to.</summary>
    public long LogStartAtMost { get; set; }
    /// <summary>Below this a compaction may have been at work.</summary>
    public long CompactedBelow { get; set; }

    public void Add(SentBatch batch)
    {
        Batches.Add(batch);
        for (var i = 0; i < batch.Records.Count; i++)
            _byId.Add(batch.Records[i].Id, (batch, i));
    }

    public bool TryFind(string id, out SentBatch batch, out int index)
    {
        var found = _byId.TryGetValue(id, out var entry);
        (batch, index) = entry;
        return found;
    }

    /// <summary>All that is acknowledged, or that part of it that ends before an offset, has been made durable.</summary>
    public void MarkDurable(long before = long.MaxValue)
    {
        foreach (var batch in Batches)
            batch.Durable |= batch.State == BatchState.Acknowledged && batch.LastOffset < before;
    }
}
