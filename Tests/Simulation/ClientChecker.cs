namespace OrleansMq.Tests.Simulation;

/// <summary>Invariants 1 to 3, by what clients were told: knows nothing of replicas but what a leader holds.</summary>
internal sealed class ClientChecker
{
    private readonly SortedDictionary<long, (int Producer, int Sequence)> _acknowledged = [];
    private readonly List<(int Producer, int Sequence)> _seen = [];
    private readonly int[] _lastSequence = new int[SimulatedLog.IdempotentProducers];

    public ClientChecker() => Array.Fill(_lastSequence, -1);

    public int Acknowledged => _acknowledged.Count;
    public int Seen => _seen.Count;

    public void OnAcknowledged(long offset, (int Producer, int Sequence) record)
    {
        if (!_acknowledged.TryAdd(offset, record))
            Verdict.Require(_acknowledged[offset] == record, $"invariant 1: offset {offset} was acknowledged to two records");
    }

    /// <summary>A leader begins, or serves: it must hold all that was acknowledged, and all that was seen as it was seen.</summary>
    public void OnServing(SimulatedLog log)
    {
        foreach (var (offset, record) in _acknowledged)
        {
            Verdict.Require(offset < log.LogEndOffset && SimulatedLog.Parse(log[offset].Bytes) == record,
                $"invariant 1: the acknowledged record {record} at offset {offset} is lost");
        }
        for (var i = 0; i < _seen.Count; i++)
            Verdict.Require(i < log.LogEndOffset && SimulatedLog.Parse(log[i].Bytes) == _seen[i], $"invariant 2: what was seen at offset {i} changed");
    }

    public void OnLatest(long latest, SimulatedLog log)
    {
        Verdict.Require(latest >= _seen.Count, $"invariant 2: the latest offset went back from {_seen.Count} to {latest}");
        Verdict.Require(latest <= log.LogEndOffset, "invariant 2: the latest offset is above the log's end");
        for (var offset = _seen.Count; offset < latest; offset++)
            See(SimulatedLog.Parse(log[offset].Bytes));
        if (latest > 0)
            Verdict.Require(SimulatedLog.Parse(log[latest - 1].Bytes) == _seen[(int)latest - 1], $"invariant 2: what was seen at offset {latest - 1} changed");
    }

    private void See((int Producer, int Sequence) record)
    {
        if (record.Producer < SimulatedLog.IdempotentProducers)
        {
            var last = _lastSequence[record.Producer];
            Verdict.Require(record.Sequence == last + 1, $"invariant 3: producer {record.Producer}'s record {record.Sequence} follows on {last}");
            _lastSequence[record.Producer] = record.Sequence;
        }
        _seen.Add(record);
    }
}
