using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>
/// Invariants 1 to 3, by what clients were told: knows nothing of replicas but what a leader holds. What compaction or a delete took away
/// may be missing; what an unclean election lost must be exactly what it reported, and is forgotten here.
/// </summary>
internal sealed class ClientChecker(int topic, bool mayCompact)
{
    private readonly SortedDictionary<long, Told> _acknowledged = [];
    private readonly SortedDictionary<long, Told> _seen = [];
    private readonly HashSet<(long Offset, int Epoch)> _compacted = [];
    private readonly Dictionary<int, int> _lastSequence = [];
    private readonly List<ReportUncleanElection> _unclean = [];
    private long _latest;
    private long _deletedBelow;

    private readonly record struct Told(SimulatedRecord Record, int Epoch);

    public int Acknowledged => _acknowledged.Count;
    /// <summary>How far the reader has come.</summary>
    public long Position => _latest;
    public int UncleanElections => _unclean.Count;
    public int LatestUncleanEpoch => _unclean is [.., var last] ? last.Epoch : -1;

    public void OnAcknowledged(long offset, SimulatedRecord record, int epoch)
    {
        if (IsReportedLost(offset, epoch))
            return;
        Verdict.Require(record.Topic == topic, "topics: a record of another topic is acknowledged");
        if (!_acknowledged.TryAdd(offset, new Told(record, epoch)))
            Verdict.Require(_acknowledged[offset].Record == record, $"invariant 1: offset {offset} was acknowledged to two records");
    }

    /// <summary>A replica's compaction removes a record for a later one of its key.</summary>
    public void OnCompacted(long offset, int epoch) => _compacted.Add((offset, epoch));

    public bool IsCompacted(long offset, int epoch) => _compacted.Contains((offset, epoch));

    public void OnDeleted(long below) => _deletedBelow = Math.Max(_deletedBelow, below);

    /// <summary>A leader begins, or serves: it must hold all that was acknowledged, and all that was seen as it was seen.</summary>
    public void OnServing(SimulatedLog log)
    {
        foreach (var (offset, told) in _acknowledged)
            Verdict.Require(Holds(log, offset, told), $"invariant 1: the acknowledged record {told.Record} at offset {offset} is lost");
        foreach (var (offset, told) in _seen)
            Verdict.Require(Holds(log, offset, told), $"invariant 2: what was seen at offset {offset} changed");
    }

    /// <summary>An unclean election: what was acknowledged and is lost by it is what it says, no more and no less.</summary>
    public void OnUncleanElection(ReportUncleanElection report, SimulatedLog log)
    {
        // Its own log begins where it begins: an older leader may have deleted more.
        _deletedBelow = Math.Min(_deletedBelow, report.LogEnd);
        _unclean.Add(report);
        foreach (var (offset, told) in _acknowledged.Concat(_seen))
        {
            Verdict.Require(Holds(log, offset, told) != IsReportedLost(offset, told.Epoch) || IsGone(offset, told.Epoch),
                $"unclean election: {told.Record} at offset {offset} of epoch {told.Epoch} is "
                + $"{(IsReportedLost(offset, told.Epoch) ? "reported lost and is not" : "lost and not reported")}");
        }
        Forget(_acknowledged);
        Forget(_seen);
        _latest = Math.Max(log.LogStartOffset, _seen.Count == 0 ? 0 : _seen.Keys.Last() + 1);
        _lastSequence.Clear();
        foreach (var (record, _) in _seen.Values)
            _lastSequence[record.Producer] = record.Sequence;
    }

    /// <summary>A follower says that it gave up what it knew to be acknowledged: that has been reported before.</summary>
    public void OnReportedLoss(int epoch) =>
        Verdict.Require(_unclean.Count > 0 && epoch >= _unclean[0].Epoch,
            "a follower truncates below its high watermark, and no election was unclean");

    public void OnLatest(long latest, SimulatedLog log, int epoch)
    {
        if (epoch < LatestUncleanEpoch)
            return;
        Verdict.Require(latest >= _latest, $"invariant 2: the latest offset went back from {_latest} to {latest}");
        Verdict.Require(latest <= log.LogEndOffset, "invariant 2: the latest offset is above the log's end");
        for (var offset = _latest; offset < latest; offset++)
        {
            if (log.TryGet(offset, out var record, out var recordEpoch))
                See(offset, new Told(record, recordEpoch));
            else
                Verdict.Require(IsGone(offset, EpochHistory.EpochOf(log.Epochs, offset)),
                    $"invariant 2: offset {offset} below the latest one cannot be read");
        }
        _latest = latest;
        if (_seen.TryGetValue(latest - 1, out var last))
            Verdict.Require(Holds(log, latest - 1, last), $"invariant 2: what was seen at offset {latest - 1} changed");
    }

    private void See(long offset, Told told)
    {
        var record = told.Record;
        Verdict.Require(record.Topic == topic, $"topics: a record of topic {record.Topic} is read from topic {topic}");
        if (record.Producer != SimulatedRecord.NoProducer)
        {
            var last = _lastSequence.GetValueOrDefault(record.Producer, -1);
            Verdict.Require(record.Sequence > last,
                $"invariant 3: producer {record.Producer}'s record {record.Sequence} comes after {last}");
            Verdict.Require(record.Sequence == last + 1 || mayCompact || _deletedBelow > 0 || _unclean.Count > 0,
                $"invariant 3: producer {record.Producer}'s record {record.Sequence} follows on {last}");
            _lastSequence[record.Producer] = record.Sequence;
        }
        _seen.Add(offset, told);
    }

    private bool Holds(SimulatedLog log, long offset, Told told) =>
        log.TryGet(offset, out var record, out var epoch) ? record == told.Record && epoch == told.Epoch : IsGone(offset, told.Epoch)
        && offset < log.LogEndOffset;

    private bool IsGone(long offset, int epoch) => offset < _deletedBelow || IsCompacted(offset, epoch);

    // The latest report says all: an unclean election may also bring back what an earlier one had lost.
    private bool IsReportedLost(long offset, int epoch) => _unclean is [.., var report] && epoch < report.Epoch
        && (offset < report.LogStart || offset >= report.LogEnd
            || (EpochHistory.EpochOf(report.History, offset) is >= 0 and var kept && kept != epoch));

    private void Forget(IDictionary<long, Told> told)
    {
        foreach (var (offset, _) in told.Where(t => IsReportedLost(t.Key, t.Value.Epoch)).ToArray())
            told.Remove(offset);
    }
}
