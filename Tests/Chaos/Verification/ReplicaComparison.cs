namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>Compares the segment files of a partition's replicas byte by byte up to the high watermark, and checks each against the ledger.
/// Replicas may roll their segments at different offsets; the batches must be equal.</summary>
internal static class ReplicaComparison
{
    /// <summary>Reports each difference, and each acknowledged record that a replica lacks.</summary>
    /// <returns>The number of bytes of batches that were equal on all replicas.</returns>
    public static long Compare(int partition, IReadOnlyList<(int Broker, string Directory)> replicas, long highWatermark, Ledger ledger,
        PartitionHistory history, Violations violations)
    {
        var readers = replicas.Select(replica => new Reader(partition, replica, highWatermark, ledger, history, violations)).ToList();
        try
        {
            return CompareBatches(partition, readers, violations);
        }
        finally
        {
            readers.ForEach(reader => reader.Dispose());
        }
    }

    private static long CompareBatches(int partition, List<Reader> readers, Violations violations)
    {
        var same = 0L;
        var first = readers[0];
        while (first.MoveNext())
        {
            foreach (var other in readers.Skip(1))
            {
                if (!other.MoveNext())
                    continue; // The audit reports what is missing.
                if (!other.Current.Bytes.Span.SequenceEqual(first.Current.Bytes.Span))
                {
                    violations.Report(ViolationKind.ReplicasDiffer, $"partition {partition}: {first} and {other} differ.");
                    // After a difference everything differs; each replica's own audit continues.
                    readers.ForEach(reader => reader.ReadToEnd());
                    readers.ForEach(reader => reader.Finish());
                    return same;
                }
            }
            same += first.Current.Bytes.Length;
        }
        readers.ForEach(reader => reader.ReadToEnd());
        readers.ForEach(reader => reader.Finish());
        return same;
    }

    /// <summary>One replica, read batch by batch up to the high watermark.</summary>
    private sealed class Reader(int partition, (int Broker, string Directory) replica, long highWatermark, Ledger ledger,
        PartitionHistory history,
        Violations violations) : IDisposable
    {
        private readonly LogAudit _audit = new(partition, ledger, history, violations, $"broker {replica.Broker}'s files");
        private readonly IEnumerator<StoredBatch> _batches = ReplicaFiles.Read(replica.Directory).GetEnumerator();

        public StoredBatch Current => _batches.Current;

        public bool MoveNext()
        {
            try
            {
                if (!_batches.MoveNext() || Current.Header.NextOffset > highWatermark)
                    return false;
                _audit.Take(Current.Bytes);
                return true;
            }
            catch (InvalidDataException e)
            {
                violations.Report(ViolationKind.Damaged, $"broker {replica.Broker}: {e.Message}");
                return false;
            }
        }

        public void ReadToEnd()
        {
            while (MoveNext())
                continue;
        }

        public void Finish()
        {
            if (_audit.End < highWatermark)
                violations.Report(ViolationKind.ReplicasDiffer,
                    $"partition {partition}: broker {replica.Broker} holds up to offset {_audit.End}; "
                    + $"the high watermark is {highWatermark}.");
            _audit.Finish();
        }

        public void Dispose() => _batches.Dispose();

        public override string ToString() =>
            $"broker {replica.Broker} ({Current.Header.BaseOffset} to {Current.Header.LastOffset}, epoch "
            + $"{Current.Header.PartitionLeaderEpoch}, {Current.Bytes.Length} bytes)";
    }
}
