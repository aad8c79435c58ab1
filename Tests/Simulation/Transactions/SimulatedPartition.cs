using OrleansMq.Api;
using OrleansMq.Producers;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>A batch or a marker in a log, one offset each.</summary>
/// <param name="Producer">The producer, with the epoch of the batch or marker.</param>
/// <param name="Number">The transaction's number.</param>
/// <param name="Time">When it was appended.</param>
/// <param name="Record">The batch; null: a marker.</param>
/// <param name="Marker">The marker; null: a batch.</param>
internal sealed record LogEntry(ProducerIdentity Producer, long Number, long Time, ProducedRecord? Record, TransactionMarker? Marker);

/// <summary>A partition with one leader after the other. What is below the high watermark stays; what is above may be cut by a change of
/// leader.</summary>
internal sealed class SimulatedPartition(TransactionSimulation simulation, string topic, Guid topicId)
{
    private readonly List<LogEntry> _log = [];
    // Whether the records below the last stable offset are committed, as readers have seen them; null for markers.
    private readonly List<bool?> _seen = [];
    private long _safe;
    private int _epoch;
    private bool _isElecting;

    public string Topic { get; } = topic;
    public Guid TopicId { get; } = topicId;
    public bool IsDeleted { get; private set; }
    public IReadOnlyList<LogEntry> Log => _log;
    public TransactionPartition InTransaction => new(Topic, 0, TopicId);
    public bool IsSettled => Leader is { } leader && leader.HighWatermark == _log.Count && leader.StableOffset == _log.Count;

    /// <summary>The leader; null: an election is under way.</summary>
    public SimulatedLeader? Leader { get; private set; }

    /// <summary>Why a gateway refuses a request; null: it does not.</summary>
    public ErrorCode? Refusal => IsDeleted ? ErrorCode.UnknownTopicOrPartition : Leader is null ? ErrorCode.NotLeaderOrFollower : null;

    public void Elect() => Leader = new SimulatedLeader(simulation, this, _log, ++_epoch);

    public void Delete() => (IsDeleted, Leader) = (true, null);

    /// <summary>The leader is lost. The next one has all that is below the high watermark, and some of what is above.</summary>
    public void ChangeLeader(int milliseconds)
    {
        if (_isElecting || IsDeleted)
            return;
        (Leader, _isElecting) = (null, true);
        simulation.Figures.LeaderChanges++;
        if (simulation.IsTraced)
            simulation.Tell($"{this} loses its LEADER");
        simulation.After(milliseconds, () =>
        {
            if (IsDeleted)
                return;
            var cut = simulation.Next((int)_safe, _log.Count + 1);
            simulation.Figures.Truncated += _log.Count - cut;
            if (simulation.IsTraced)
                simulation.Tell($"{this} has leader {_epoch + 1}, cut from {_log.Count} to {cut}, safe {_safe}");
            _log.RemoveRange(cut, _log.Count - cut);
            _isElecting = false;
            Elect();
        });
    }

    public void Append(ProducedRecord record, in VerifiedTransaction verified, Action<ErrorCode> answered)
    {
        if (Refusal is { } refusal)
            answered(refusal);
        else
            Leader!.Append(record, verified, answered);
    }

    public void End(in TransactionEnd end, Action<ParticipantOutcome> answered)
    {
        if (IsDeleted)
            answered(ParticipantOutcome.Done);
        else if (Leader is { } leader)
            leader.End(end, answered);
        else
            answered(simulation.Participants.OutcomeOf(ErrorCode.NotLeaderOrFollower));
    }

    /// <summary>The leader's high watermark has advanced: what is below stays.</summary>
    public void OnAdvanced(long highWatermark) => _safe = Math.Max(_safe, highWatermark);

    /// <summary>A leader's last stable offset has advanced: what readers see below it never changes.</summary>
    /// <param name="leader">The leader.</param>
    /// <param name="from">The offset up to which they have read from this leader.</param>
    /// <param name="to">The last stable offset.</param>
    public void OnStable(SimulatedLeader leader, long from, long to)
    {
        for (var offset = (int)from; offset < to; offset++)
        {
            var entry = _log[offset];
            bool? isCommitted = null;
            if (entry.Record is { } record)
            {
                Verdict.Require(leader.IsDecided(offset), $"7: {this} shows {offset}, of {record.Transaction}, which is not decided");
                isCommitted = !leader.IsAborted(offset, entry.Producer.ProducerId);
                Verdict.Require(isCommitted == false || record.Transaction.WasToCommit,
                    $"2: {this} shows {offset}, of {record.Transaction}, which its client did not commit");
            }
            if (offset == _seen.Count)
                _seen.Add(isCommitted);
            Verdict.Require(_seen[offset] == isCommitted, $"7: {this} shows {offset} as {isCommitted} after {_seen[offset]}");
        }
    }

    /// <summary>Whether committed readers see a record.</summary>
    public bool IsVisible(int offset) => _seen[offset] == true;

    public override string ToString() => $"{Topic}({TopicId.ToString()[^4..]})";
}
