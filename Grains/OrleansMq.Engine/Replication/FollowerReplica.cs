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
/// any but Offline -- push whose log start is above the log end --> Aligned  (begins again, empty)
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
    // What the next flush, or the alignment, lets this replica answer. A push's batches are not touched again.
    private Push? _latest;

    /// <summary>Opens the role.</summary>
    /// <param name="rules">The protocol.</param>
    /// <param name="log">This replica's log.</param>
    /// <param name="self">This replica.</param>
    /// <param name="topicId">The topic its directory belongs to.</param>
    /// <param name="effects">Where effects are added.</param>
    public FollowerReplica(ReplicationRules rules, IReplicaLog log, ReplicaIdentity self, Guid topicId, List<ReplicationEffect> effects)
    {
        (_rules, _log, _self, _topicId, _effects) = (rules, log, self, topicId, effects);
        var fence = rules.FenceAfterRestart(log.Fence, LatestEpoch);
        if (fence > log.Fence)
            log.RaiseFence(fence);
    }

    /// <summary>Where it stands.</summary>
    public FollowerStatus Status { get; private set; } = FollowerStatus.Aligning;

    /// <summary>Who leads as far as it is known here; -1 where nobody has pushed yet.</summary>
    public int Leader => _talk.Leader;

    private int LatestEpoch => EpochHistory.Latest(_log.Epochs).Epoch;

    /// <summary>A leader pushed.</summary>
    public void OnPush(Push push)
    {
        if (!_rules.SameTopic(push.TopicId, _topicId) || Status == FollowerStatus.Offline)
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
            _latest = null;
        }
        if (_latest is null || push.Sequence >= _latest.Sequence)
            _latest = push;
        if (_rules.MustReset(push.LogStart, _log.LogEndOffset))
        {
            _log.ResetTo(push.LogStart);
            Status = FollowerStatus.Aligned;
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
        if (!_rules.SameTopic(answer.TopicId, _topicId) || Status != FollowerStatus.Aligning
            || !_rules.SameTalk((answer.Epoch, answer.Session, answer.Leader), _talk, _log.Fence) || answer.AskedEpoch != LatestEpoch)
            return;
        var floor = _rules.AlignmentFloor(_log.HighWatermark, _log.HighWatermarkEpoch, answer.UncleanEpoch);
        var decision = _rules.Align(answer.Epoch, answer.AskedEpoch, answer.End, _log.EndOffsetFor(answer.End.Epoch), _log.LogEndOffset,
            floor);
        switch (decision.Outcome)
        {
            case AlignmentOutcome.Aligned:
                if (decision.TruncateTo < _log.LogEndOffset)
                    Cut(decision.TruncateTo);
                Align();
                break;
            case AlignmentOutcome.AskAgain:
                // Also where no record goes: an epoch that began at the log's end, without a record, goes with it.
                Cut(decision.TruncateTo);
                Invariant.Check(LatestEpoch < answer.AskedEpoch, "an alignment must go on to an older epoch");
                AskForAlignment();
                break;
            case AlignmentOutcome.Offline:
                Status = FollowerStatus.Offline;
                break;
        }
    }

    private void Cut(long endOffset)
    {
        if (endOffset < _log.HighWatermark)
            _effects.Add(new ReportLoss(_talk.Epoch, endOffset, _log.HighWatermark));
        // The leader's log start comes with its pushes; without one yet, the own one is as good to begin at, and the next push corrects it.
        if (_rules.MustBeginAgain(endOffset, _log.LogStartOffset, _log.CompactedEndOffset))
            _log.ResetTo(_latest?.LogStart ?? _log.LogStartOffset);
        else
            _log.TruncateTo(endOffset);
    }

    private void Align()
    {
        Status = FollowerStatus.Aligned;
        // The leader need not wait for its next push to be told.
        if (_latest is { } push)
            Answer(push, PushAnswerOutcome.Accepted);
    }

    /// <summary>What was written is on stable storage now: under <c>sync</c> only this counts.</summary>
    public void OnFlushed()
    {
        if (Status == FollowerStatus.Aligned && _latest is { } push && _rules.Fence(push.Epoch, _log.Fence) == FenceOutcome.Current)
            Answer(push, PushAnswerOutcome.Accepted);
    }

    private void Take(Push push)
    {
        var (previousEnd, previousEpoch) = (push.PreviousEnd, push.PreviousEpoch);
        for (var next = 0; next < push.Batches.Count;)
        {
            var batch = push.Batches[next];
            if (!Prepare(push, batch.BaseOffset, batch.NextOffset, previousEnd, previousEpoch, out var isNew))
                return;
            var first = next++;
            if (isNew)
            {
                while (next < push.Batches.Count && Follows(push, next))
                    next++;
                _log.AppendReplicated(push.Batches, first, next - first);
            }
            (previousEnd, previousEpoch) = (push.Batches[next - 1].NextOffset, push.Batches[next - 1].Epoch);
        }
        // The leader may hold nothing more up to where the push ends.
        if (!Prepare(push, push.EndOffset, push.EndOffset, previousEnd, previousEpoch, out var isAbove))
            return;
        if (isAbove)
            _log.AdvanceTo(push.EndOffset);
        if (push.LogStart > _log.LogStartOffset)
            _log.MoveLogStart(push.LogStart);
        var highWatermark = Math.Min(push.HighWatermark, _log.LogEndOffset);
        if (highWatermark > _log.HighWatermark)
            _log.SetHighWatermark(highWatermark, push.Epoch);
        Answer(push, PushAnswerOutcome.Accepted);
    }

    /// <summary>Whether there is nothing to decide on a batch, since the one before it is taken: it follows without a hole, in the same
    /// epoch, and no later epoch is to be taken over before it.</summary>
    private bool Follows(Push push, int index)
    {
        var (before, batch) = (push.Batches[index - 1], push.Batches[index]);
        if (batch.BaseOffset != before.NextOffset || batch.Epoch != before.Epoch)
            return false;
        foreach (var (epoch, start) in push.Epochs)
        {
            if (epoch > LatestEpoch && start < batch.NextOffset)
                return false;
        }
        return true;
    }

    /// <summary>Decides on a batch, or on a hole that ends at <paramref name="baseOffset"/>; where it is new, takes over the epochs up to
    /// it.</summary>
    /// <returns>False where the push cannot be taken.</returns>
    private bool Prepare(Push push, long baseOffset, long nextOffset, long previousEnd, int previousEpoch, out bool isNew)
    {
        isNew = false;
        var ownPreviousEpoch = EpochHistory.EpochOf(_log.Epochs, previousEnd - 1);
        switch (_rules.Push(baseOffset, nextOffset, previousEnd, previousEpoch, _log.LogStartOffset, _log.LogEndOffset, ownPreviousEpoch))
        {
            case PushOutcome.BeginAndAppend:
                _log.ResetTo(baseOffset);
                return isNew = TakeEpochs(push, baseOffset, nextOffset);
            case PushOutcome.Append when TakeEpochs(push, baseOffset, nextOffset):
                isNew = true;
                return true;
            case PushOutcome.Skip:
                return true;
            case PushOutcome.Gap:
                Answer(push, PushAnswerOutcome.Gap);
                return false;
            default:
                Status = FollowerStatus.Aligning;
                return false;
        }
    }

    /// <summary>Takes over where epochs begin: a hole may hide the start from who looks at batches alone, and a replica whose epochs begin
    /// too late does not see where others part from it.</summary>
    /// <returns>False where this log holds what the leader says was written in a later epoch: the histories part.</returns>
    private bool TakeEpochs(Push push, long baseOffset, long nextOffset)
    {
        foreach (var (epoch, startAtLeader) in push.Epochs)
        {
            if (epoch <= LatestEpoch || startAtLeader >= nextOffset)
                continue;
            var start = _rules.EpochStart(startAtLeader, baseOffset);
            if (start < _log.LogEndOffset && LatestEpoch >= 0)
                return false;
            _log.AssignEpoch(epoch, Math.Max(start, _log.LogEndOffset));
        }
        return true;
    }

    private void AskForAlignment() =>
        _effects.Add(new SendMessage(_talk.Leader, new AlignRequest(_topicId, _talk.Epoch, _talk.Session, _self, LatestEpoch)));

    private void Answer(Push push, PushAnswerOutcome outcome) =>
        _effects.Add(new SendMessage(push.Leader,
            new PushAnswer(_topicId, push.Epoch, push.Session, _self, push.Sequence, outcome, _log.Fence, _log.LogEndOffset,
            _log.CountedEndOffset, push.SentAt)));
}
