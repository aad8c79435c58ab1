using OrleansMq.Log;

namespace OrleansMq.Replication;

// The leader's talk with its followers. Batches are read outside the lock: FillPush asks for them, OnPushFilled sends them.
internal sealed partial class LeaderReplica
{
    // So many times as long as others an answer to batches of those who catch up is waited for: several leaders' bundles and the rests
    // between them.
    private const int CatchUpPatience = 4;

    /// <summary>What <see cref="FillPush"/> asked for was read.</summary>
    /// <param name="follower">As asked.</param>
    /// <param name="session">As asked.</param>
    /// <param name="from">As asked.</param>
    /// <param name="batches">The first batches that end above <paramref name="from"/>, whole, in order, none at or above the limit. Their
    /// memory is used by the effects that this call adds, and no longer.</param>
    /// <param name="endOffset">The end of the last of them; where there is none: the limit.</param>
    /// <param name="now">The time, milliseconds.</param>
    public void OnPushFilled(int follower, int session, long from, IReadOnlyList<ReplicatedBatch> batches, long endOffset, long now)
    {
        if (ProgressOf(follower) is not { } progress)
            return;
        progress.IsFilling = false;
        if (!LeadsAt(now))
            return;
        // Retention may have taken what was to be read; and who has been rewound meanwhile wants something else.
        if (session == progress.Session && progress.IsAligned && from == progress.NextOffset && from >= _log.LogStartOffset)
            Send(progress, from, batches, endOffset, now);
        Fill(progress);
    }

    /// <summary>A follower answered a push.</summary>
    public void OnPushAnswer(PushAnswer answer, long now)
    {
        if (!IsForMe(answer, now) || ProgressOf(answer.Follower.Broker) is not { } progress
            || !progress.Belongs(answer.Follower, answer.Session, ref _sessions))
            return;
        progress.Answered(answer);
        Fill(progress);
        Advance();
    }

    /// <summary>A follower asks where an epoch ends.</summary>
    public void OnAlignRequest(AlignRequest request, long now)
    {
        if (IsForMe(request, now) && ProgressOf(request.Follower.Broker) is { } progress
            && progress.Belongs(request.Follower, request.Session, ref _sessions))
        {
            _effects.Add(new SendMessage(request.Follower.Broker,
                new AlignAnswer(_topicId, Epoch, request.Session, _self.Broker, request.AskedEpoch,
                request.AskedEpoch < 0 ? new LeaderEpochEntry(-1, _log.LogStartOffset) : _log.EndOffsetFor(request.AskedEpoch),
                _committed!.UncleanEpoch)));
        }
    }

    /// <summary>Whether a message belongs to this epoch; one that tells of a later epoch ends the leadership.</summary>
    private bool IsForMe(ReplicationMessage message, long now)
    {
        if (!LeadsAt(now) || !_rules.SameTopic(message.TopicId, _topicId))
            return false;
        if (message is PushAnswer { Outcome: PushAnswerOutcome.Fenced } fenced && _rules.Fence(Epoch, fenced.Fence) == FenceOutcome.Refuse)
        {
            Stop($"replica {fenced.Follower.Broker} knows epoch {fenced.Fence}");
            return false;
        }
        return _rules.Fence(message.Epoch, Epoch) == FenceOutcome.Current;
    }

    private void FillAll()
    {
        foreach (var follower in _followers)
            Fill(follower);
    }

    // One at a time, and no more while a follower owes too many answers: what it lacks meanwhile stays on disk, not in a queue.
    private void Fill(FollowerProgress follower)
    {
        if (follower is not { IsAligned: true, IsFilling: false } || follower.Unanswered >= _options.MaxUnansweredPushes
            || follower.NextOffset >= _log.LogEndOffset || follower.NextOffset < _log.LogStartOffset)
            return;
        follower.IsFilling = true;
        _effects.Add(new FillPush(follower.Broker, follower.Session, follower.NextOffset, _log.LogEndOffset, LaneOf(follower)));
    }

    private PushLane LaneOf(FollowerProgress follower) => IsInSync(follower) || !HasEnoughReplicas() ? PushLane.Live
        : follower.MustHurry(_log.LogEndOffset) ? PushLane.Hurried
        : PushLane.CatchUp;

    private bool IsInSync(FollowerProgress follower)
    {
        foreach (var member in _committed!.Isr)
        {
            if (member.Broker == follower.Broker)
                return true;
        }
        return false;
    }

    private void Beat(FollowerProgress follower, long now)
    {
        // What gives way may wait for its turn over there, and to send it again would make that longer.
        var resend = LaneOf(follower) == PushLane.CatchUp ? CatchUpPatience * _options.ResendMs : _options.ResendMs;
        if (follower.IsAligned && follower.NextOffset > follower.StatedEnd && now - follower.BatchesPushedAt > resend)
            follower.Rewind();
        follower.Watch(_log.LogEndOffset, IsInSync(follower), _options.WatchCatchUpMs, now);
        Fill(follower);
        // Who is not aligned is waited for: a lost question is asked again soon.
        var interval = follower.IsAligned ? _options.EffectiveHeartbeatMs : Math.Min(_options.EffectiveHeartbeatMs, _options.ResendMs);
        if (now - follower.PushedAt >= interval)
            Send(follower, 0, [], 0, now);
    }

    private void Send(FollowerProgress follower, long previousEnd, IReadOnlyList<ReplicatedBatch> batches, long endOffset, long now)
    {
        var previousEpoch = EpochHistory.EpochOf(_log.Epochs, previousEnd - 1);
        IReadOnlyList<LeaderEpochEntry> epochs = endOffset == 0 ? [] : EpochHistory.From(_log.Epochs, previousEpoch, endOffset);
        var sequence = follower.Pushed(endOffset, _log.LogEndOffset, now);
        _effects.Add(new SendMessage(follower.Broker,
            new Push(_topicId, Epoch, follower.Session, _self.Broker, sequence, previousEnd, previousEpoch, batches,
            endOffset, epochs, _log.LogStartOffset, _log.HighWatermark, _log.LogEndOffset, now), batches.Count > 0
            ? LaneOf(follower) : PushLane.Live));
    }
}
