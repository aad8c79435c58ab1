using OrleansMq.Api;
using OrleansMq.Records;
using Record = OrleansMq.Records.Record;

namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>The checks of a reader that follows a partition during a run. Not thread safe.</summary>
internal sealed class PartitionFollower(int partition, long start, Ledger ledger, PartitionHistory history, Violations violations,
    string who)
{
    private readonly RecordSequence _sequence = new(partition, start, ledger, violations, who);

    /// <summary>The offset to fetch next.</summary>
    public long Next => _sequence.Next;

    /// <summary>Takes the result of a fetch from <see cref="Next"/>. Returns the number of new records.</summary>
    public int Take(FetchResult fetched)
    {
        var count = 0;
        try
        {
            using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
            while (reader.MoveNext())
            {
                // The first batch may start below.
                if (reader.Current.Offset < Next)
                    continue;
                Take(reader.Current, fetched.HighWatermark);
                count++;
            }
        }
        catch (RecordBatchException e)
        {
            violations.Report(ViolationKind.Damaged, $"{who}: partition {partition} at offset {Next}: {e.Message}");
        }
        return count;
    }

    private void Take(in Record record, long highWatermark)
    {
        if (record.Offset >= highWatermark)
            violations.Report(ViolationKind.BeyondHighWatermark,
                $"{who}: partition {partition} offset {record.Offset} was read below a high watermark of {highWatermark}.");
        if (record.Value is not { } value || !RecordValue.TryRead(value.Span, out var id))
        {
            violations.Report(ViolationKind.Damaged,
                $"{who}: partition {partition} offset {record.Offset} has a value that was never sent.");
            _sequence.Skip(record.Offset);
            return;
        }
        _sequence.Take(record.Offset, id);
        history.Saw(record.Offset, id, who);
    }
}
