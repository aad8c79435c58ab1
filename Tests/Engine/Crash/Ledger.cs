using System.Text;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Compaction;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>A sender's knowledge of a batch.</summary>
internal enum BatchState
{
    /// <summary>Sent without an answer: it may be in the log.</summary>
    Unanswered = 0,
    /// <summary>Acknowledged with its offset, or found in the log after a restart.</summary>
    Acknowledged = 1,
    /// <summary>Refused by a broker that continued: it is not in the log.</summary>
    Refused = 2,
    /// <summary>Not found after a restart that may lose it: it stays lost.</summary>
    Lost = 3,
}

/// <summary>A sent record. The id, in a header, is unique.</summary>
internal sealed record SentRecord(string Id, string Key, string? Value, long Timestamp);

/// <summary>A sent batch.</summary>
internal sealed class SentBatch(long producerId, int sequence, CompressionType compression, IReadOnlyList<SentRecord> records)
{
    private static readonly byte[] IdName = "id"u8.ToArray();

    public long ProducerId { get; } = producerId;
    public int Sequence { get; } = sequence;
    public IReadOnlyList<SentRecord> Records { get; } = records;
    public BatchState State { get; set; }
    public long Offset { get; set; } = -1;
    /// <summary>Whether the batch was refused once. A power cut may restore the bytes that were written of it and truncated.</summary>
    public bool WasRefused { get; set; }
    /// <summary>Whether no crash may lose it.</summary>
    public bool Durable { get; set; }
    public long LastOffset => Offset + Records.Count - 1;

    /// <summary>Encodes the batch, in a new copy each time, since a broker stamps its input.</summary>
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

/// <summary>All batches sent to one partition, and what is known of them: the checker's reference. Independent of files.</summary>
internal sealed class Ledger
{
    private readonly Dictionary<string, (SentBatch Batch, int Index)> _byId = new(StringComparer.Ordinal);

    public List<SentBatch> Batches { get; } = [];
    /// <summary>The log start offset that delete-records or retention confirmed.</summary>
    public long LogStart { get; set; }
    /// <summary>The highest log start offset requested, or possibly reached by retention.</summary>
    public long LogStartAtMost { get; set; }
    /// <summary>The offset below which compaction may have run.</summary>
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

    /// <summary>Marks all acknowledged batches, or those that end before an offset, as durable.</summary>
    public void MarkDurable(long before = long.MaxValue)
    {
        foreach (var batch in Batches)
            batch.Durable |= batch.State == BatchState.Acknowledged && batch.LastOffset < before;
    }
}
