using OrleansMq.Api;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Crash;

// The operations of the broker, one step at a time.
internal sealed partial class CrashRound
{
    private int _segments = 1;

    private async Task StepAsync()
    {
        _time.Advance(_random.Next(40));
        switch (_random.Next(100))
        {
            case < 58:
                await AppendAsync(NextBatch());
                break;
            case < 74:
                await AppendGroupAsync();
                break;
            case < 80:
                await RetryAsync();
                break;
            case < 83:
                Checkpoint();
                break;
            case < 86:
                Flush();
                break;
            case < 90:
                Maintain();
                break;
            case < 94 when Scenario.Config.CleanupCompact:
                Compact();
                break;
            case < 96 when Scenario.Config.CleanupDelete:
                await DeleteRecordsAsync();
                break;
            case < 99:
                await ReadSomewhereAsync();
                break;
            default:
                _time.Advance(2000);
                break;
        }
        if (!IsUp)
            return;
        var segments = Partition.Log!.Segments.Count;
        if (segments > _segments)
            Statistics.Rolls++;
        _segments = segments;
    }

    private SentBatch NextBatch()
    {
        var producer = _random.Next(4);
        if (producer < 3 && _blocked[producer].Count > 0)
        {
            var (sequence, blocked) = _blocked[producer].First();
            _blocked[producer].Remove(sequence);
            return blocked;
        }
        var records = new List<SentRecord>();
        for (var left = _random.Next(3) == 0 ? _random.Next(1, 6) : 1; left > 0; left--)
        {
            var value = _random.Next(6) == 0 ? null : new string((char)('a' + _random.Next(26)), _random.Next(1, 120));
            records.Add(new SentRecord($"r{_records++}", $"k{_random.Next(25)}", value, _time.NowMs - _random.Next(100)));
        }
        var compression = _random.Next(10) == 0 ? CompressionType.Gzip : CompressionType.None;
        var batch = new SentBatch(producer == 3 ? -1 : 100 + producer, producer == 3 ? -1 : _nextSequence[producer], compression, records);
        if (producer < 3)
            _nextSequence[producer] += records.Count;
        _ledger.Add(batch);
        return batch;
    }

    private async Task AppendAsync(SentBatch batch)
    {
        batch.State = BatchState.Unanswered;
        Answered(batch, await _mutant.SendAsync(Partition, batch.Encode(), batch));
    }

    /// <summary>Appends several batches with one write: another partition keeps the only append thread busy until all of them
    /// wait.</summary>
    private async Task AppendGroupAsync()
    {
        var batches = new List<SentBatch>();
        for (var left = _random.Next(2, 7); left > 0; left--)
            batches.Add(NextBatch());
        if (batches[0].ProducerId >= 0 && batches[0].State == BatchState.Unanswered && _random.Next(3) == 0)
            batches.Add(batches[0]); // An impatient sender: the same batch twice in one group.
        if (!_store.TryGet(Plug, out var plug) || plug.Log is not { } plugLog)
            return;
        var answers = new List<Task<ProduceResult>>();
        Task<ProduceResult> plugged;
        lock (plugLog.AppendLock)
        {
            plugged = plug.AppendAsync(new SentBatch(-1, -1, CompressionType.None,
                [new SentRecord("plug", "plug", null, _time.NowMs)]).Encode(), Acks.All).AsTask();
            foreach (var batch in batches)
            {
                batch.State = BatchState.Unanswered;
                answers.Add(_mutant.SendAsync(Partition, batch.Encode(), batch).AsTask());
            }
        }
        await plugged;
        for (var i = 0; i < batches.Count; i++)
            Answered(batches[i], await answers[i]);
    }

    private void Answered(SentBatch batch, ProduceResult answer)
    {
        Statistics.Appends++;
        if (answer.Error == ErrorCode.None)
        {
            CheckFailedException.Unless(batch.State != BatchState.Acknowledged || batch.Offset == answer.BaseOffset,
                $"a batch acknowledged at offset {batch.Offset} was acknowledged again at {answer.BaseOffset}");
            // Damage by the disk differs from a torn write only below the flushed point of the checkpoint, which follows later; see
            // FlipBit.
            batch.Acknowledge(answer.BaseOffset, durable: Scenario.Config.FlushPolicy == FlushPolicy.Sync
                && Scenario.Kind != FaultKind.FlippedBit);
            return;
        }
        if (answer.Error == ErrorCode.DuplicateSequenceNumber && batch.State == BatchState.Acknowledged)
            return; // Twice in one group, with more than five others between.
        if (answer.Error == ErrorCode.RequestTimedOut)
            return; // Written and not flushed: outcome unknown.
        CheckFailedException.Unless(answer.Error is ErrorCode.KafkaStorageError or ErrorCode.OutOfOrderSequenceNumber,
            $"unexpected {answer.Error}: {answer.Message}");
        if (!IsUp || batch.State == BatchState.Acknowledged)
            return; // Outcome unknown.
        CheckFailedException.Unless(answer.Error != ErrorCode.OutOfOrderSequenceNumber
            || (batch.ProducerId >= 0 && _blocked[batch.ProducerId - 100].Count > 0),
            $"in sequence, and refused: {answer.Message}");
        batch.State = BatchState.Refused;
        batch.WasRefused = true;
        if (batch.ProducerId >= 0)
            _blocked[batch.ProducerId - 100][batch.Sequence] = batch;
    }

    /// <summary>A sender without an answer retries: it must get the original's answer.</summary>
    private async Task RetryAsync()
    {
        var producer = 100 + _random.Next(3);
        var batch = _ledger.Batches.Where(b => b.ProducerId == producer && b.State == BatchState.Acknowledged).TakeLast(5).FirstOrDefault();
        if (batch is null || _blocked[producer - 100].Count > 0)
            return;
        var answer = await _mutant.SendAsync(Partition, batch.Encode(), batch);
        Statistics.Retries++;
        if (IsUp && answer.Error != ErrorCode.KafkaStorageError && !IsForgotten(batch, answer.Error))
            CheckFailedException.Unless(answer.Error == ErrorCode.None && answer.BaseOffset == batch.Offset,
                $"the batch at offset {batch.Offset} was sent again, and answered with {answer.Error}, offset {answer.BaseOffset}");
    }

    private void Checkpoint() => Durably(() => Partition.Checkpoint());

    private void Flush() => Durably(() => Partition.Flush());

    private void Durably(Action action)
    {
        var faults = _disk.TookEffect.Count;
        action();
        if (IsUp && _disk.TookEffect.Count == faults)
            _ledger.MarkDurable();
    }

    private void Maintain()
    {
        var before = _ledger.LogStartAtMost;
        if (Scenario.Config.CleanupDelete && (Scenario.Config.RetentionMs >= 0 || Scenario.Config.RetentionBytes >= 0))
            _ledger.LogStartAtMost = Partition.LogEndOffset;
        var faults = _disk.TookEffect.Count;
        Partition.Maintain(_time.NowMs);
        if (!IsUp || _disk.TookEffect.Count > faults)
            return; // Outcome unknown.
        _ledger.LogStart = Partition.LogStartOffset;
        _ledger.LogStartAtMost = Math.Max(before, _ledger.LogStart);
    }

    private void Compact()
    {
        if (!Scenario.Config.CleanupCompact)
            return;
        var bound = Partition.Log!.Active.BaseOffset;
        var segments = Partition.Log.Segments;
        _ledger.CompactedBelow = Math.Max(_ledger.CompactedBelow, bound);
        _store.RunCompaction();
        if (IsUp && !segments.SequenceEqual(Partition.Log.Segments))
            Statistics.Compactions++;
    }

    private async Task DeleteRecordsAsync()
    {
        var start = Partition.LogStartOffset;
        var offset = start + _random.NextInt64(Math.Max(1, (Partition.HighWatermark - start) / 3 + 1));
        _ledger.LogStartAtMost = Math.Max(_ledger.LogStartAtMost, offset);
        try
        {
            await Partition.DeleteRecordsAsync(offset);
            _ledger.LogStart = Math.Max(_ledger.LogStart, offset);
        }
        catch (BrokerException exception) when (exception.Code == ErrorCode.KafkaStorageError)
        {
            // Outcome unknown.
        }
    }

    private async Task ReadSomewhereAsync()
    {
        var start = Partition.LogStartOffset;
        if (Partition.HighWatermark <= start)
            return;
        var offset = start + _random.NextInt64(Partition.HighWatermark - start);
        using var result = await Partition.ReadAsync(new FetchRequest(Main, offset, 500));
        if (!IsUp)
            return;
        CheckFailedException.Unless(result.Error == ErrorCode.None, $"reading offset {offset}: {result.Error} {result.Message}");
        foreach (var record in NaiveLog.ReadFile("read", result.Records.ToArray()).SelectMany(b => b.Records))
        {
            CheckFailedException.Unless(_ledger.TryFind(record.Id, out var batch, out var index),
                $"offset {record.Offset} holds a record that was never sent");
            CheckFailedException.Unless(batch.State == BatchState.Acknowledged && batch.Offset + index == record.Offset,
                $"offset {record.Offset} was read, and is {batch.State} at {batch.Offset + index}");
        }
    }
}
