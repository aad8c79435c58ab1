using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>Checks invariants 1 to 3 by the clients' observations, without knowledge of replicas except the leader's log. A publisher with
/// message ids counts as an idempotent producer. Records removed by compaction or a delete may be missing. An unclean election must lose
/// exactly what it reported, which is then forgotten here.</summary>
internal sealed class ClientChecker(int topic, bool mayCompact)
{
    private readonly SortedDictionary<long, Told> _acknowledged = [];
    // With acks=replicated, and in the log of every member that lost power since.
    private readonly SortedDictionary<long, Told> _unflushed = [];
    private readonly List<(long At, long End)> _cuts = [];
    // Answered without a flush, and cut off with a member's power: the publisher has gone on.
    private readonly HashSet<(int Producer, int Sequence)> _mayMiss = [];
    private readonly SortedDictionary<long, Told> _seen = [];
    private readonly HashSet<(long Offset, int Epoch)> _compacted = [];
    private readonly Dictionary<int, int> _lastSequence = [];
    private readonly List<ReportUncleanElection> _unclean = [];
    private long _latest;
    private long _deletedBelow;
    private long _deletionAnswered;

    private readonly record struct Told(SimulatedRecord Record, int Epoch);

    public int Acknowledged => _acknowledged.Count;
    /// <summary>The reader's position.</summary>
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

    /// <summary>An <c>acks=replicated</c> is answered: until its flush the record survives everything that it survives under the flush
    /// policy <c>none</c>, except a power cut of a member that stays one since it counts only flushed records.</summary>
    public void OnAnsweredUnflushed(long offset, SimulatedRecord record, int epoch, long sentAt)
    {
        if (IsReportedLost(offset, epoch))
            return;
        if (_cuts.Exists(cut => cut.At >= sentAt && cut.End <= offset))
        {
            _mayMiss.Add((record.Producer, record.Sequence));
            return;
        }
        Verdict.Require(record.Topic == topic, "topics: a record of another topic is acknowledged");
        if (!_unflushed.TryAdd(offset, new Told(record, epoch)))
            Verdict.Require(_unflushed[offset].Record == record, $"replicated: offset {offset} was acknowledged to two records");
    }

    /// <summary>A member lost power, and stays a member: it may lead without what it had not flushed.</summary>
    public void OnMemberCut(long now, long end)
    {
        _cuts.Add((now, end));
        foreach (var offset in _unflushed.Keys.Where(offset => offset >= end).ToArray())
        {
            _unflushed.Remove(offset, out var told);
            _mayMiss.Add((told.Record.Producer, told.Record.Sequence));
        }
    }

    /// <summary>A replica's compaction removed a record in favour of a later one of its key.</summary>
    public void OnCompacted(long offset, int epoch) => _compacted.Add((offset, epoch));

    public bool IsCompacted(long offset, int epoch) => _compacted.Contains((offset, epoch));

    public void OnDeleted(long below) => _deletedBelow = Math.Max(_deletedBelow, below);

    /// <summary>A deletion is answered as done: no later leader may have the records.</summary>
    public void OnDeletionAnswered(long below) => _deletionAnswered = Math.Max(_deletionAnswered, below);

    /// <summary>A replica may lead: it must not have records whose deletion was answered.</summary>
    public void OnMayLead(int broker, long logStart) => Verdict.Require(logStart >= _deletionAnswered,
        $"deletion: broker {broker} may lead, its log starts at {logStart}, and the deletion below {_deletionAnswered} was answered");

    /// <summary>A leader starts or serves: it must hold every acknowledged record, and every read record unchanged, and none whose
    /// deletion was answered.</summary>
    public void OnServing(SimulatedLog log)
    {
        Verdict.Require(log.LogStartOffset >= _deletionAnswered,
            $"deletion: a leader's log starts at {log.LogStartOffset}, and the deletion below {_deletionAnswered} was answered");
        foreach (var (offset, told) in _acknowledged)
            Verdict.Require(Holds(log, offset, told), $"invariant 1: the acknowledged record {told.Record} at offset {offset} is lost");
        foreach (var (offset, told) in _unflushed)
            Verdict.Require(Holds(log, offset, told),
                $"replicated: the record {told.Record} at offset {offset} is lost, which was acknowledged without a flush; no member that "
                + "had it lost power");
        foreach (var (offset, told) in _seen)
            Verdict.Require(Holds(log, offset, told), $"invariant 2: the record read at offset {offset} changed");
    }

    /// <summary>An unclean election: it must report exactly the acknowledged records that it loses.</summary>
    public void OnUncleanElection(ReportUncleanElection report, SimulatedLog log)
    {
        // Its own log start counts: an older leader may have deleted more.
        _deletedBelow = Math.Min(_deletedBelow, report.LogEnd);
        _deletionAnswered = Math.Min(_deletionAnswered, report.LogStart);
        _unclean.Add(report);
        foreach (var (offset, told) in _acknowledged.Concat(_unflushed).Concat(_seen))
        {
            Verdict.Require(Holds(log, offset, told) != IsReportedLost(offset, told.Epoch) || IsGone(offset, told.Epoch),
                $"unclean election: {told.Record} at offset {offset} of epoch {told.Epoch} is "
                + $"{(IsReportedLost(offset, told.Epoch) ? "reported lost and is not" : "lost and not reported")}");
        }
        Forget(_acknowledged);
        Forget(_unflushed);
        Forget(_seen);
        _latest = Math.Max(log.LogStartOffset, _seen.Count == 0 ? 0 : _seen.Keys.Last() + 1);
        _lastSequence.Clear();
        foreach (var (record, _) in _seen.Values)
            _lastSequence[record.Producer] = record.Sequence;
    }

    /// <summary>A follower reports that it discarded acknowledged records: that loss must have been reported before.</summary>
    public void OnReportedLoss(int epoch) =>
        Verdict.Require(_unclean.Count > 0 && epoch >= _unclean[0].Epoch,
            "a follower truncates below its high watermark without an unclean election");

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
            Verdict.Require(Holds(log, latest - 1, last), $"invariant 2: the record read at offset {latest - 1} changed");
    }

    private void See(long offset, Told told)
    {
        var record = told.Record;
        Verdict.Require(record.Topic == topic, $"topics: a record of topic {record.Topic} is read from topic {topic}");
        if (record.Producer is not (SimulatedRecord.NoProducer or SimulatedRecord.Control))
        {
            var last = _lastSequence.GetValueOrDefault(record.Producer, -1);
            Verdict.Require(record.Sequence > last,
                $"invariant 3: producer {record.Producer}'s record {record.Sequence} comes after {last}");
            Verdict.Require(mayCompact || _deletedBelow > 0 || _unclean.Count > 0 || Enumerable.Range(last + 1, record.Sequence - last - 1)
                .All(sequence => _mayMiss.Contains((record.Producer, sequence))),
                $"invariant 3: producer {record.Producer}'s record {record.Sequence} follows on {last}");
            _lastSequence[record.Producer] = record.Sequence;
        }
        _seen.Add(offset, told);
    }

    private bool Holds(SimulatedLog log, long offset, Told told) =>
        log.TryGet(offset, out var record, out var epoch) ? record == told.Record && epoch == told.Epoch : IsGone(offset, told.Epoch)
        && offset < log.LogEndOffset;

    private bool IsGone(long offset, int epoch) => offset < _deletedBelow || IsCompacted(offset, epoch);

    // The latest report is complete: an unclean election may also restore what an earlier one lost.
    private bool IsReportedLost(long offset, int epoch) => _unclean is [.., var report] && epoch < report.Epoch
        && (offset < report.LogStart || offset >= report.LogEnd
            || (EpochHistory.EpochOf(report.History, offset) is >= 0 and var kept && kept != epoch));

    private void Forget(IDictionary<long, Told> told)
    {
        foreach (var (offset, _) in told.Where(t => IsReportedLost(t.Key, t.Value.Epoch)).ToArray())
            told.Remove(offset);
    }
}
