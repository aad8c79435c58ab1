namespace OrleansMq.Tests.Engine.Crash;

/// <summary>Checks a log after a restart against the ledger, without any of the code under test. Throws <see cref="CheckFailedException"/>
/// with the problem.</summary>
internal static class CrashChecker
{
    /// <summary>The content of a log after a restart.</summary>
    /// <param name="Batches">All batches, by offset.</param>
    /// <param name="LogStart">The log start offset.</param>
    /// <param name="LogEnd">The log end offset.</param>
    /// <param name="PowerCut">Whether records that were not durable may be lost.</param>
    internal sealed record Found(IReadOnlyList<NaiveBatch> Batches, long LogStart, long LogEnd, bool PowerCut);

    /// <summary>Checks the content and stores it in the ledger as the known state.</summary>
    public static void Check(Ledger ledger, Found found)
    {
        CheckFailedException.Unless(found.LogStart >= ledger.LogStart && found.LogStart <= ledger.LogStartAtMost,
            $"log start offset {found.LogStart}, acknowledged was {ledger.LogStart}, asked for at most {ledger.LogStartAtMost}");
        CheckOffsets(ledger, found);
        var records = CheckRecords(ledger, found);
        CheckAcknowledged(ledger, found, records);
        CheckCompaction(ledger, found, records);
        Learn(ledger, found, records);
    }

    /// <summary>Checks that offsets have no gaps except those of compaction.</summary>
    private static void CheckOffsets(Ledger ledger, Found found)
    {
        var expected = found.LogStart;
        foreach (var batch in found.Batches.Where(b => b.LastOffset >= found.LogStart))
        {
            CheckFailedException.Unless(batch.BaseOffset <= expected || expected < ledger.CompactedBelow,
                $"offset {expected} is missing: {batch.BaseOffset} follows");
            CheckFailedException.Unless(batch.BaseOffset >= expected || batch.BaseOffset < found.LogStart,
                $"offset {batch.BaseOffset} is there twice");
            expected = batch.LastOffset + 1;
        }
        CheckFailedException.Unless(expected == found.LogEnd || (expected < found.LogEnd && expected < ledger.CompactedBelow),
            $"the log ends at offset {found.LogEnd}, its last batch at {expected}");
    }

    /// <summary>Checks that every record was sent, is unchanged, appears once, and was neither refused nor lost before.</summary>
    private static Dictionary<string, NaiveRecord> CheckRecords(Ledger ledger, Found found)
    {
        var records = new Dictionary<string, NaiveRecord>(StringComparer.Ordinal);
        foreach (var record in found.Batches.SelectMany(b => b.Records))
        {
            CheckFailedException.Unless(ledger.TryFind(record.Id, out var batch, out var index),
                $"offset {record.Offset} holds a record that was never sent");
            var sent = batch.Records[index];
            CheckFailedException.Unless(sent == new SentRecord(record.Id, record.Key ?? "", record.Value, record.Timestamp),
                $"offset {record.Offset}: the record is not as it was sent");
            CheckFailedException.Unless(records.TryAdd(record.Id, record), $"offset {record.Offset}: the record is there twice");
            CheckFailedException.Unless(batch.State != BatchState.Lost, $"offset {record.Offset}: the record was lost before");
            // A power cut can restore bytes that were truncated after a failed write, unless something durable was written in their place.
            CheckFailedException.Unless(batch.State != BatchState.Refused || found.PowerCut,
                $"offset {record.Offset}: the record was refused");
            CheckFailedException.Unless(batch.State != BatchState.Acknowledged || batch.Offset + index == record.Offset
                || (found.PowerCut && batch.WasRefused && !batch.Durable),
                $"offset {record.Offset}: the record was acknowledged at {batch.Offset + index}");
        }
        return records;
    }

    /// <summary>Checks that acknowledged batches are present unless the crash may lose them. If one is lost, all after it are lost,
    /// too.</summary>
    private static void CheckAcknowledged(Ledger ledger, Found found, Dictionary<string, NaiveRecord> records)
    {
        foreach (var batch in ledger.Batches.Where(b => b.State == BatchState.Acknowledged))
        {
            for (var i = 0; i < batch.Records.Count; i++)
            {
                var offset = batch.Offset + i;
                if (offset < found.LogStart || offset < ledger.CompactedBelow || records.ContainsKey(batch.Records[i].Id))
                    continue;
                CheckFailedException.Unless(!batch.Durable, $"offset {offset} was durable and is lost");
                CheckFailedException.Unless(found.PowerCut, $"offset {offset} was acknowledged, and lost by a kill of the process");
                CheckFailedException.Unless(offset >= found.LogEnd || IsTakenByOneThatCameBack(ledger, records, offset),
                    $"offset {offset} is lost, and the log goes on to {found.LogEnd}");
            }
        }
    }

    private static bool IsTakenByOneThatCameBack(Ledger ledger, Dictionary<string, NaiveRecord> records, long offset) =>
        records.Values.FirstOrDefault(r => r.Offset == offset) is { } record && ledger.TryFind(record.Id, out var batch, out _)
        && batch.WasRefused;

    /// <summary>Checks below the compacted offset that the latest record of each key is present. If that is a removed tombstone, no older
    /// record may reappear.</summary>
    private static void CheckCompaction(Ledger ledger, Found found, Dictionary<string, NaiveRecord> records)
    {
        if (ledger.CompactedBelow == 0)
            return;
        var latest = new Dictionary<string, (long Offset, SentRecord Record, SentBatch Batch)>(StringComparer.Ordinal);
        foreach (var batch in ledger.Batches.Where(b => b.State == BatchState.Acknowledged).OrderBy(b => b.Offset))
        {
            for (var i = 0; i < batch.Records.Count; i++)
            {
                CheckFailedException.Unless(!batch.Durable || batch.Offset + i < found.LogEnd,
                    $"offset {batch.Offset + i} was durable and is lost");
                // A compaction that was killed early may have done nothing. Then a loss at the end is an ordinary loss.
                if (batch.Offset + i < Math.Min(ledger.CompactedBelow, found.LogEnd) && batch.Offset + i >= found.LogStart)
                    latest[batch.Records[i].Key] = (batch.Offset + i, batch.Records[i], batch);
            }
        }
        foreach (var (key, (offset, record, batch)) in latest)
        {
            if (records.ContainsKey(record.Id))
                continue;
            // Only durable records are compacted, so a power cut loses nothing below.
            CheckFailedException.Unless(record.Value is null,
                $"offset {offset}, the latest of key '{key}' below {ledger.CompactedBelow}, is gone (durable: {batch.Durable})");
            var elder = found.Batches.SelectMany(b => b.Records).FirstOrDefault(r => r.Key == key && r.Offset < offset);
            CheckFailedException.Unless(elder is null,
                $"the deletion of key '{key}' at offset {offset} is gone, and offset {elder?.Offset} is still there");
        }
    }

    private static void Learn(Ledger ledger, Found found, Dictionary<string, NaiveRecord> records)
    {
        foreach (var batch in ledger.Batches)
        {
            var index = batch.Records.ToList().FindIndex(r => records.ContainsKey(r.Id));
            if (batch.State is BatchState.Unanswered or BatchState.Refused)
            {
                if (index >= 0)
                    batch.Acknowledge(records[batch.Records[index].Id].Offset - index, durable: true);
                else if (batch.State == BatchState.Unanswered)
                    batch.State = BatchState.Lost;
            }
            else if (batch.State == BatchState.Acknowledged)
            {
                if (index >= 0)
                    batch.Offset = records[batch.Records[index].Id].Offset - index;
                else if (batch.Offset >= found.LogEnd || (batch.Offset >= ledger.CompactedBelow && batch.Offset >= found.LogStart))
                    batch.State = BatchState.Lost;
                batch.Durable = true; // Recovery makes the recovered batches durable.
            }
        }
        ledger.LogStart = found.LogStart;
        ledger.LogStartAtMost = found.LogStart;
    }
}
