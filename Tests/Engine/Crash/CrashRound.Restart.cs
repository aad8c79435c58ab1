using OrleansMq.Api;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Crash;

// The restart of the broker, and the checks after it.
internal sealed partial class CrashRound
{
    /// <summary>A flipped bit. For a log, with the last offset of its batch if known.</summary>
    private sealed record Flip(string File, long Position, long LastOffset)
    {
        public bool IsInLog => File.EndsWith(".log", StringComparison.Ordinal);
        public bool IsInIndex => File.EndsWith("index", StringComparison.Ordinal);
    }

    private Flip? _flip;

    private async Task RestartAsync(bool clean)
    {
        _disk = _disk.Restart();
        _flip = Scenario.Kind == FaultKind.FlippedBit ? FlipBit() : null;
        _mutant.BeforeRestart(_disk.Disk, Directory, _ledger);
        if (Scenario.CrashInRecovery && _flip is null)
            await CrashInRecoveryAsync();
        else
            await OpenAsync();
        _mutant.AfterRestart(_disk.Disk, Directory);
        Statistics.Recoveries++;
        if (!await CheckAsync(_powerCut || (_flip is not null && !clean)))
            return;
        await SendAgainAsync();
        var steps = _random.Next(20);
        while (steps-- > 0)
            await StepAsync();
        Checkpoint();
        await CheckAsync(powerCut: false);
        if (_random.Next(4) == 0)
            await RestartInGoodOrderAsync();
    }

    private async Task RestartInGoodOrderAsync()
    {
        await _store.DisposeAsync();
        _ledger.MarkDurable();
        await OpenAsync();
        await CheckAsync(powerCut: false);
    }

    private async Task CrashInRecoveryAsync()
    {
        var kind = _random.Next(2) == 0 ? FaultKind.ProcessKill : FaultKind.PowerCut;
        _disk.Arm(new Fault(kind, _random.Next(25)));
        try
        {
            await OpenAsync();
        }
        catch (Exception exception) when (_disk.Crashed && exception is CrashedException or BrokerException or AggregateException)
        {
            // Killed before the store was open; the store being opened writes nothing any more.
        }
        _disk.Disarm();
        if (!_disk.Crashed)
            return;
        Statistics.Faults.AddRange(_disk.TookEffect);
        _powerCut |= _disk.WasPowerCut;
        await _store.DisposeAsync();
        _disk = _disk.Restart();
        await OpenAsync();
    }

    /// <summary>Compares the results of reads, the files, the indexes and the ledger.</summary>
    /// <returns>False when the partition is offline and may be.</returns>
    private async Task<bool> CheckAsync(bool powerCut)
    {
        var flip = _flip;
        var batches = new List<NaiveBatch>();
        if (Partition.OfflineReason is null)
            batches = await ReadAllAsync();
        if (Partition.OfflineReason is { } reason)
        {
            CheckFailedException.Unless(flip is not null, $"offline, and nothing was damaged: {reason}");
            CheckFailedException.Unless(reason.Contains(flip!.File, StringComparison.Ordinal),
                $"{flip} took the partition offline, but the message does not name it: {reason}");
            CheckFailedException.Unless(!flip.IsInLog || (reason.Contains("at byte", StringComparison.Ordinal)
                && reason.Contains("offset", StringComparison.Ordinal)), $"the message names neither byte nor offset: {reason}");
            Statistics.EndedOffline = true;
            return false;
        }
        var log = Partition.Log!;
        var start = Partition.LogStartOffset;
        CheckFailedException.Unless(Partition.HighWatermark == Partition.LogEndOffset,
            $"high watermark {Partition.HighWatermark}, log end {Partition.LogEndOffset}");
        if (flip is { IsInLog: true } && flip.LastOffset < start)
            return false; // It hit a deleted part of the log, which is never read.
        var found = NaiveLog.Read(_disk.Disk, Directory);
        CompareWithFiles(batches, [.. found.Where(b => b.LastOffset >= start)]);
        Statistics.LostUnflushed |= _ledger.Batches.Any(b => b.State == BatchState.Acknowledged && b.Offset >= Partition.LogEndOffset);
        CrashChecker.Check(_ledger, new CrashChecker.Found(found, start, Partition.LogEndOffset, powerCut));
        // A start does not read whole indexes. A changed one is detected when it is used, and misleads no reader.
        if (flip is not { IsInIndex: true })
            NaiveLog.CheckIndexes(_disk.Disk, Directory, found, Scenario.Config.IndexIntervalBytes);
        CheckFailedException.Unless(log.SizeInBytes == found.Sum(b => (long)b.Size),
            $"{log.SizeInBytes} bytes are in the log, {found.Sum(b => (long)b.Size)} in its files");
        CheckLookUps(found);
        return true;
    }

    private async Task<List<NaiveBatch>> ReadAllAsync()
    {
        var batches = new List<NaiveBatch>();
        var offset = Partition.LogStartOffset;
        while (offset < Partition.HighWatermark)
        {
            using var result = await Partition.ReadAsync(new FetchRequest(Main, offset, _random.Next(1, 2000)));
            if (result.Error != ErrorCode.None || result.Records.IsEmpty)
                break;
            batches.AddRange(NaiveLog.ReadFile("read", result.Records.ToArray()));
            offset = batches[^1].LastOffset + 1;
        }
        return batches;
    }

    private static void CompareWithFiles(List<NaiveBatch> read, List<NaiveBatch> inFiles)
    {
        CheckFailedException.Unless(read.Count == inFiles.Count, $"{read.Count} batches were read, {inFiles.Count} are in the files");
        for (var i = 0; i < read.Count; i++)
        {
            CheckFailedException.Unless((read[i].BaseOffset, read[i].LastOffset, read[i].Size) == (inFiles[i].BaseOffset,
                inFiles[i].LastOffset, inFiles[i].Size)
                && read[i].Records.SequenceEqual(inFiles[i].Records),
                $"the batch at offset {read[i].BaseOffset} is not that at {inFiles[i].BaseOffset} in {inFiles[i].File}");
        }
    }

    private void CheckLookUps(List<NaiveBatch> found)
    {
        var records = found.SelectMany(b => b.Records).Where(r => r.Offset >= Partition.LogStartOffset).ToList();
        for (var i = 0; i < 4 && records.Count > 0; i++)
        {
            var timestamp = records[_random.Next(records.Count)].Timestamp + _random.Next(3) - 1;
            var expected = records.Find(r => r.Timestamp >= timestamp);
            var answer = Partition.FindOffset(OffsetSpec.AtOrAfter(timestamp));
            CheckFailedException.Unless(answer.Error == ErrorCode.None && answer.Offset == (expected?.Offset ?? -1),
                $"the first record at or after {timestamp} is at {expected?.Offset}, and {answer} was found");
        }
    }

    /// <summary>Idempotent senders retry their last batches with unknown outcome. No batch may be duplicated or missing.</summary>
    private async Task SendAgainAsync()
    {
        for (var producer = 0; producer < 3; producer++)
        {
            _blocked[producer].Clear();
            var own = _ledger.Batches.Where(b => b.ProducerId == 100 + producer).OrderBy(b => b.Sequence).ToList();
            foreach (var batch in own.Where(b => b.State == BatchState.Acknowledged).TakeLast(5))
            {
                var answer = await _mutant.SendAsync(Partition, batch.Encode(), batch);
                Statistics.Retries++;
                CheckFailedException.Unless(IsForgotten(batch, answer.Error)
                    || (answer.Error == ErrorCode.None && answer.BaseOffset == batch.Offset),
                    $"the batch at offset {batch.Offset} was sent again after the restart, and answered with {answer.Error}, offset "
                    + $"{answer.BaseOffset}: {answer.Message}");
            }
            foreach (var batch in own.Where(b => b.State is BatchState.Lost or BatchState.Refused))
            {
                var end = Partition.LogEndOffset;
                var answer = await _mutant.SendAsync(Partition, batch.Encode(), batch);
                Statistics.Retries++;
                CheckFailedException.Unless(answer.Error == ErrorCode.None && answer.BaseOffset == end,
                    $"the batch with sequence {batch.Sequence} was lost, sent again, and answered with {answer.Error}, offset "
                    + $"{answer.BaseOffset}: {answer.Message}");
                batch.Acknowledge(answer.BaseOffset, durable: false);
            }
        }
    }

    // Refused, but not duplicated, when the state of the earlier batches is gone.
    private bool IsForgotten(SentBatch batch, ErrorCode error) =>
        Statistics.Recoveries > 0
        && (batch.Offset < _ledger.CompactedBelow || _flip?.File.EndsWith(".producers", StringComparison.Ordinal) == true)
            && error is ErrorCode.DuplicateSequenceNumber or ErrorCode.OutOfOrderSequenceNumber;

    /// <summary>Flips a bit of one of the partition's files.</summary>
    private Flip FlipBit()
    {
        var files = _disk.ListFiles(Directory).Where(n => !n.EndsWith(".deleted", StringComparison.Ordinal) && n != "partition.metadata"
            && _disk.GetLength(Path.Combine(Directory, n)) > 0).Order(StringComparer.Ordinal).ToList();
        var logs = files.Where(n => n.EndsWith(".log", StringComparison.Ordinal)).ToList();
        var choice = logs.Count > 0 && _random.Next(10) < 6 ? logs : files;
        var name = choice[_random.Next(choice.Count)];
        using var file = _disk.Disk.Open(Path.Combine(Directory, name), FileOpening.ReadWrite);
        var position = _random.NextInt64(file.Length);
        var lastOffset = long.MaxValue;
        if (name.EndsWith(".log", StringComparison.Ordinal))
        {
            // Bytes 0 to 15 of a batch are outside its CRC. The neighbouring batches check them, with two exceptions: the leader epoch
            // (from byte 12), which is no part of a record, and offsets next to gaps of compaction.
            while (NaiveLog.FindBatch(AtomicFile.TryRead(_disk.Disk, file.Path)!, position, out var start, out lastOffset)
                && position - start < 16 && (position - start >= 12 || _ledger.CompactedBelow > 0))
                position = _random.NextInt64(file.Length);
        }
        var bytes = new byte[1];
        file.Read(bytes, position);
        bytes[0] ^= (byte)(1 << _random.Next(8));
        file.Write(bytes, position);
        file.Flush();
        // Under sync a flipped bit loses nothing before it.
        if (Scenario.Config.FlushPolicy == FlushPolicy.Sync)
            _ledger.MarkDurable(before: lastOffset);
        Statistics.Faults.Add((FaultKind.FlippedBit, $"{name} at {position}"));
        return new Flip(name, position, lastOffset);
    }
}
