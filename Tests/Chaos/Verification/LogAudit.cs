using OrleansMq.Records;
using Record = OrleansMq.Records.Record;

namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>Checks the whole log of one partition, as served by the leader or stored by a replica, against the ledger: every acknowledged
/// record appears once, at its acknowledged offset, and no refused record appears. Not thread safe.</summary>
internal sealed class LogAudit(int partition, Ledger ledger, PartitionHistory history, Violations violations, string who)
{
    private readonly RecordSequence _sequence = new(partition, 0, ledger, violations, who);
    private readonly Dictionary<RecordId, long> _offsets = [];

    /// <summary>The offset after the last record taken.</summary>
    public long End => _sequence.Next;

    /// <summary>Takes the records of whole batches.</summary>
    public void Take(ReadOnlyMemory<byte> batches)
    {
        try
        {
            using var reader = new RecordReader(batches, CompressionCodecs.Empty);
            while (reader.MoveNext())
                Take(reader.Current);
        }
        catch (RecordBatchException e)
        {
            violations.Report(ViolationKind.Damaged, $"{who}: partition {partition} after offset {End}: {e.Message}");
        }
    }

    /// <summary>Ends the audit: records missing now are lost.</summary>
    public void Finish()
    {
        foreach (var (producer, entries) in ledger.Of(partition))
        {
            for (var number = 0; number < entries.Length; number++)
                Judge(new RecordId(producer, number), entries[number]);
        }
    }

    private void Take(in Record record)
    {
        if (record.Value is not { } value || !RecordValue.TryRead(value.Span, out var id))
        {
            violations.Report(ViolationKind.Damaged,
                $"{who}: partition {partition} offset {record.Offset} has a value that was never sent.");
            _sequence.Skip(record.Offset);
            return;
        }
        _sequence.Take(record.Offset, id);
        history.Saw(record.Offset, id, who);
        _offsets.TryAdd(id, record.Offset);
    }

    private void Judge(RecordId id, Ledger.Entry entry)
    {
        var isThere = _offsets.TryGetValue(id, out var offset);
        if (entry.Outcome == Outcome.Acknowledged && !isThere)
            violations.Report(ViolationKind.Lost,
                $"{who}: partition {partition} lacks {id}, acknowledged at offset {entry.Offset}; the log ends at {End}.");
        else if (entry.Outcome == Outcome.Acknowledged && entry.Offset >= 0 && entry.Offset != offset)
            violations.Report(ViolationKind.Changed,
                $"{who}: partition {partition} has {id} at offset {offset}; it was acknowledged at {entry.Offset}.");
        else if (entry.Outcome == Outcome.Refused && isThere)
            violations.Report(ViolationKind.WrittenThoughRefused,
                $"{who}: partition {partition} has {id} at offset {offset}; it was reported as not written.");
    }
}
