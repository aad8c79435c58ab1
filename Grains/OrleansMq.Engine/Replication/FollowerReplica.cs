using OrleansMq.Diagnostics;

namespace OrleansMq.Replication;

/// <summary>Where a follower stands with the leader of its fence.</summary>
internal enum FollowerStatus
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Its history may part from the leader's: takes no batches, asks for epoch ends.</summary>
    Aligning = 1,
    /// <summary>Its log is the beginning of the leader's: takes batches, its end counts.</summary>
    Aligned = 2,
    /// <summary>Following the leader would cut below its own high watermark: takes nothing any more.</summary>
    Offline = 3,
}

/// <summary>
/// A replica that follows. No I/O but its log, no clock, no random: inputs come as calls, what is to be sent is added to the effects.
/// <code>
/// any       -- push of a higher epoch, or of another session --> Aligning   (fence durable first)
/// Aligning  -- answer: the histories agree --> Aligned                      (truncates)
/// Aligning  -- answer: they part further down --> Aligning                  (truncates, asks again)
/// Aligned   -- push whose previous batch is another one --> Aligning
/// Aligning  -- answer below the known high watermark --> Offline
/// </code>
/// </summary>
internal sealed class FollowerReplica
{
    private readonly ReplicationRules _rules;
    private readonly IReplicaLog _log;
    private readonly ReplicaIdentity _self;
    private readonly Guid _topicId;
    private readonly List<ReplicationEffect> _effects;
    private (int Epoch, int Session, int Leader) _talk = (-1, -1, -1);
    private Push? _latestAccepted;

    /// <summary>Opens the role.</summary>
    /// <param name="rules">The protocol.</param>
    /// <param name="log">This replica's log.</param>
    /// <param name="self">This replica.</param>
    /// <param name="topicId">The topic its directory belongs to.</param>
    /// <param name="effects">Where effects are added.</param>
    public FollowerReplica(ReplicationRules rules, IReplicaLog log, ReplicaIdentity self, Guid topicId, List<ReplicationEffect> effects)
    {
        (_rules, _log, _self, _topicId, _effects) = (rules, log, self, topicId, effects);
        var fence = rules.FenceAfterRestart(log.Fence, log.LatestEpoch.Epoch);
        if (fence > log.Fence)
            log.RaiseFence(fence);
    }

    /// <summary>Where it stands.</summary>
    public FollowerStatus Status { get; private set; } = FollowerStatus.Aligning;

    /// <summary>A leader pushed.</summary>
    public void OnPush(Push push)
    {
        if (push.TopicId != _topicId || Status == FollowerStatus.Offline)
            return;
        switch (_rules.Fence(push.Epoch, _log.Fence))
        {
            case FenceOutcome.Refuse:
                Answer(push, PushAnswerOutcome.Fenced);
                return;
            case FenceOutcome.Raise:
                _log.RaiseFence(push.Epoch);
                break;
        }
        if (push.Epoch == _talk.Epoch && push.Session < _talk.Session)
            return;
        if (_talk != (push.Epoch, push.Session, push.Leader))
        {
            _talk = (push.Epoch, push.Session, push.Leader);
            Status = FollowerStatus.Aligning;
            _latestAccepted = null;
        }
        if (Status == FollowerStatus.Aligned)
            Take(push);
        if (Status == FollowerStatus.Aligning)
        {
            Answer(push, PushAnswerOutcome.NotAligned);
            AskForAlignment();
        }
    }

    /// <summary>The leader answered a lookup. Bound to epoch and session: an answer to an earlier question changes nothing.</summary>
    public void OnAlignAnswer(AlignAnswer answer)
    {
        if (answer.TopicId != _topicId || Status != FollowerStatus.Aligning || (answer.Epoch, answer.Session, answer.Leader) != _talk
            || answer.AskedEpoch != _log.LatestEpoch.Epoch || _rules.Fence(answer.Epoch, _log.Fence) != FenceOutcome.Current)
            return;
        var decision = _rules.Align(answer.AskedEpoch, answer.End, _log.EndOffsetFor(answer.End.Epoch), _log.LogEndOffset, _log.HighWatermark);
        switch (decision.Outcome)
        {
            case AlignmentOutcome.Aligned:
                if (decision.TruncateTo < _log.LogEndOffset)
                    _log.TruncateTo(decision.TruncateTo);
                Status = FollowerStatus.Aligned;
                break;
            case AlignmentOutcome.AskAgain:
                // Also where no record goes: an epoch that began at the log's end, without a record, goes with it.
                _log.TruncateTo(decision.TruncateTo);
                Invariant.Check(_log.LatestEpoch.Epoch < answer.AskedEpoch, "an alignment must go on to an older epoch");
                AskForAlignment();
                break;
            case AlignmentOutcome.Offline:
                Status = FollowerStatus.Offline;
                break;
        }
    }

    /// <summary>What was written is on stable storage now: under <c>sync</c> only this counts.</summary>
    public void OnFlushed()
    {
        if (Status == FollowerStatus.Aligned && _latestAccepted is { } push && _rules.Fence(push.Epoch, _log.Fence) == FenceOutcome.Current)
            Answer(push, PushAnswerOutcome.Accepted);
    }

    private void Take(Push push)
    {
        var previousEpoch = push.PreviousEpoch;
        foreach (var batch in push.Batches)
        {
            var lastEpoch = _log.LogEndOffset == 0 ? -1 : _log.EpochOf(_log.LogEndOffset - 1);
            switch (_rules.Push(batch.BaseOffset, batch.NextOffset, previousEpoch, _log.LogEndOffset, lastEpoch))
            {
                case PushOutcome.Append:
                    _log.AppendReplicated(batch);
                    break;
                case PushOutcome.Gap:
                    Answer(push, PushAnswerOutcome.Gap);
                    return;
                case PushOutcome.Diverged:
                    Status = FollowerStatus.Aligning;
                    return;
            }
            previousEpoch = batch.Epoch;
        }
        _log.HighWatermark = Math.Max(_log.HighWatermark, Math.Min(push.HighWatermark, _log.LogEndOffset));
        if (_latestAccepted is null || push.SentAt >= _latestAccepted.SentAt)
            _latestAccepted = push;
        Answer(push, PushAnswerOutcome.Accepted);
    }

    private void AskForAlignment() =>
        _effects.Add(new SendMessage(_talk.Leader, new AlignRequest(_topicId, _talk.Epoch, _talk.Session, _self, _log.LatestEpoch.Epoch)));

    private void Answer(Push push, PushAnswerOutcome outcome) =>
        _effects.Add(new SendMessage(push.Leader, new PushAnswer(_topicId, push.Epoch, push.Session, _self, outcome, _log.Fence, _log.LogEndOffset,
            _log.CountedEndOffset, push.LeaderEnd, push.SentAt)));
}
