using OrleansMq.Diagnostics;

namespace OrleansMq.Replication;

/// <summary>A follower's state towards the leader of its fence.</summary>
internal enum FollowerStatus
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Its history may diverge from the leader's: takes no batches, asks for epoch ends.</summary>
    Aligning = 1,
    /// <summary>Its log is a prefix of the leader's: takes batches, and its end counts.</summary>
    Aligned = 2,
    /// <summary>Following the leader would truncate below its own high watermark: takes nothing any more.</summary>
    Offline = 3,
}

/// <summary>
/// A replica in the follower role. No I/O except its log, no clock, no random: inputs arrive as calls, and messages to send are added to
/// the effects.
/// <code>
/// any       -- push of a higher epoch, or of another session --> Aligning   (fence durable first)
/// Aligning  -- answer: the histories agree --> Aligned                      (truncates)
/// Aligning  -- answer: they diverge further down --> Aligning               (truncates, asks again)
/// Aligned   -- push whose previous batch is another one --> Aligning
/// Aligning  -- answer below the known high watermark --> Offline
/// Aligning  -- answer: the histories agree, and the leader has erased records above the log end --> Aligned  (begins again, empty)
/// any but Offline -- push whose log start is above the log end --> the same  (begins again, empty)
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
    // The push that this replica answers after the next flush or the alignment. Its batches are not used again.
    private Push? _latest;

    /// <summary>Begins the role.</summary>
    /// <param name="rules">The protocol.</param>
    /// <param name="log">This replica's log.</param>
    /// <param name="self">This replica.</param>
    /// <param name="topicId">The topic of its directory.</param>
    /// <param name="effects">Collects the effects.</param>
    public FollowerReplica(ReplicationRules rules, IReplicaLog log, ReplicaIdentity self, Guid topicId, List<ReplicationEffect> effects)
    {
        (_rules, _log, _self, _topicId, _effects) = (rules, log, self, topicId, effects);
        var fence = rules.FenceAfterRestart(log.Fence, LatestEpoch);
        if (fence > log.Fence)
            log.RaiseFence(fence);
    }

    /// <summary>The current state.</summary>
    public FollowerStatus Status { get; private set; } = FollowerStatus.Aligning;

    /// <summary>The leader as far as known here; -1 before the first push.</summary>
    public int Leader => _talk.Leader;

    private int LatestEpoch => EpochHistory.Latest(_log.Epochs).Epoch;

    /// <summary>Processes a push of a leader.</summary>
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
        // An empty log aligns, too: the answer says what the leader has erased.
        if (_rules.MustReset(push.LogStart, _log.LogEndOffset))
            BeginAgainAt(push.LogStart);
        if (Status == FollowerStatus.Aligned)
            Take(push);
        if (Status == FollowerStatus.Aligning)
        {
            Answer(push, PushAnswerOutcome.NotAligned);
            AskForAlignment();
        }
    }

    /// <summary>Processes the leader's answer to a lookup. It is bound to epoch and session: an outdated answer changes nothing.</summary>
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
                TakeErased(answer.ErasedEnd);
                Align();
                break;
            case AlignmentOutcome.AskAgain:
                // Necessary even if no record is removed: an epoch that began at the log's end, without a record, is removed too.
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
        // The leader's log start arrives with its pushes. Without one yet, the follower's own is as good, and the next push corrects it.
        if (_rules.MustBeginAgain(endOffset, _log.LogStartOffset, _log.CompactedEndOffset))
            _log.ResetTo(_latest?.LogStart ?? _log.LogStartOffset);
        else
            _log.TruncateTo(endOffset);
    }

    // A log that begins again copies what the leader still has, and lacks the same.
    private void TakeErased(long leaderErasedEnd)
    {
        if (!_rules.MissesErased(leaderErasedEnd, _log.LogEndOffset))
            return;
        if (_log.LogStartOffset < _log.LogEndOffset)
            _log.ResetTo(_latest?.LogStart ?? _log.LogStartOffset);
        _log.NoteErased(leaderErasedEnd);
    }

    // In the same exchange, the log lacks what its leader had erased when that began.
    private void BeginAgainAt(long logStart)
    {
        // A fault between the two steps leaves the follower aligning: the next answer says again what the leader has erased.
        var (erasedEnd, status) = (_log.ErasedEndOffset, Status);
        Status = FollowerStatus.Aligning;
        _log.ResetTo(logStart);
        if (erasedEnd > logStart)
            _log.NoteErased(erasedEnd);
        Status = status;
    }

    private void Align()
    {
        Status = FollowerStatus.Aligned;
        // Tells the leader now instead of after its next push.
        if (_latest is { } push)
            Answer(push, PushAnswerOutcome.Accepted);
    }

    /// <summary>Answers after a flush: under <c>sync</c> only flushed records count.</summary>
    public void OnFlushed()
    {
        if (Status == FollowerStatus.Aligned && _latest is { } push && _rules.Fence(push.Epoch, _log.Fence) == FenceOutcome.Current)
            Answer(push, PushAnswerOutcome.Accepted);
    }

    private void Take(Push push)
    {
        var (previousEnd, previousEpoch) = (push.PreviousEnd, push.PreviousEpoch);
        // An empty log that begins inside a batch goes back to the batch's base, and records below its own start stay deleted.
        var logStart = Math.Max(push.LogStart, _log.LogStartOffset);
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
        // The leader may hold nothing more up to the end of the push.
        if (!Prepare(push, push.EndOffset, push.EndOffset, previousEnd, previousEpoch, out var isAbove))
            return;
        if (isAbove)
            _log.AdvanceTo(push.EndOffset);
        if (logStart > _log.LogStartOffset)
            _log.MoveLogStart(logStart);
        var highWatermark = Math.Min(push.HighWatermark, _log.LogEndOffset);
        if (highWatermark > _log.HighWatermark)
            _log.SetHighWatermark(highWatermark, push.Epoch);
        Answer(push, PushAnswerOutcome.Accepted);
    }

    /// <summary>Whether a batch needs no decision, since the previous one was accepted: it follows without a hole, in the same epoch, and
    /// no later epoch begins before it.</summary>
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

    /// <summary>Decides on a batch, or on a hole that ends at <paramref name="baseOffset"/>. If it is new, takes over the epochs up to
    /// it.</summary>
    /// <returns>False if the push cannot be accepted.</returns>
    private bool Prepare(Push push, long baseOffset, long nextOffset, long previousEnd, int previousEpoch, out bool isNew)
    {
        isNew = false;
        var ownPreviousEpoch = EpochHistory.EpochOf(_log.Epochs, previousEnd - 1);
        switch (_rules.Push(baseOffset, nextOffset, previousEnd, previousEpoch, _log.LogStartOffset, _log.LogEndOffset, ownPreviousEpoch))
        {
            case PushOutcome.BeginAndAppend:
                BeginAgainAt(baseOffset);
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

    /// <summary>Takes over the starts of epochs. A hole may hide a start from a follower that looks only at batches. With a late start a
    /// replica would not see where other histories diverge from its own.</summary>
    /// <returns>False if this log holds records that the leader wrote in a later epoch: the histories diverge.</returns>
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
            _log.CountedEndOffset, push.SentAt) { LogStart = _log.LogStartOffset }));
}
