using OrleansMq.Log;

namespace OrleansMq.Replication;

// The leader's exchange with its followers. Batches are read outside the lock: FillPush requests them, OnPushFilled sends them.
internal sealed partial class LeaderReplica
{
    // The resend timeout of batches for catching-up followers, in multiples of the usual one. Their answers wait for the bundles of several
    // leaders and the rests in between.
    internal const int CatchUpPatience = 4;

    /// <summary>Processes the batches that <see cref="FillPush"/> requested.</summary>
    /// <param name="follower">From the request.</param>
    /// <param name="session">From the request.</param>
    /// <param name="from">From the request.</param>
    /// <param name="batches">The first batches that end above <paramref name="from"/>, whole, in order, none at or above the limit. Only
    /// the effects that this call adds use their memory.</param>
    /// <param name="endOffset">The end of the last of them; the limit if there is none.</param>
    /// <param name="now">The time, in milliseconds.</param>
    public void OnPushFilled(int follower, int session, long from, IReadOnlyList<ReplicatedBatch> batches, long endOffset, long now)
    {
        if (ProgressOf(follower) is not { } progress)
            return;
        progress.IsFilling = false;
        if (!LeadsAt(now))
            return;
        // Retention may have removed the batches, or the follower may have been rewound meanwhile.
        if (session == progress.Session && progress.IsAligned && from == progress.NextOffset && from >= _log.LogStartOffset)
            Send(progress, from, batches, endOffset, now);
        Fill(progress);
    }

    /// <summary>The batches that <see cref="FillPush"/> requested cannot be read for the moment. The next tick or append requests them
    /// again.</summary>
    /// <param name="follower">From the request.</param>
    public void OnPushNotFilled(int follower)
    {
        if (ProgressOf(follower) is { } progress)
            progress.IsFilling = false;
    }

    /// <summary>Processes a follower's answer to a push.</summary>
    public void OnPushAnswer(PushAnswer answer, long now)
    {
        if (!IsForMe(answer, now) || ProgressOf(answer.Follower.Broker) is not { } progress
            || !progress.Belongs(answer.Follower, answer.Session, ref _sessions))
            return;
        progress.Answered(answer, _rules.StatedStart(answer.Outcome, answer.LogStart));
        Watch(progress, now);
        Fill(progress);
        // While too few are in sync, appends that want more are refused: one that may join need not wait for the next tick.
        if (!HasEnoughReplicas())
            Propose(now);
        Advance();
    }

    /// <summary>Answers a follower's lookup of an epoch's end.</summary>
    public void OnAlignRequest(AlignRequest request, long now)
    {
        if (IsForMe(request, now) && ProgressOf(request.Follower.Broker) is { } progress
            && progress.Belongs(request.Follower, request.Session, ref _sessions))
        {
            _effects.Add(new SendMessage(request.Follower.Broker,
                new AlignAnswer(_topicId, Epoch, request.Session, _self.Broker, request.AskedEpoch,
                request.AskedEpoch < 0 ? new LeaderEpochEntry(-1, _log.LogStartOffset) : _log.EndOffsetFor(request.AskedEpoch),
                _committed!.UncleanEpoch) { ErasedEnd = MayLead(request.Follower) ? 0 : ErasedEnd }));
        }
    }

    /// <summary>Whether a message belongs to this epoch. One with a later epoch ends the leadership.</summary>
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

    // One at a time, and none while too many answers are missing: what the follower lacks stays on disk, not in a queue.
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

    private void Watch(FollowerProgress follower, long now) => follower.Watch(_log.LogEndOffset, IsInSync(follower),
        Math.Max(_options.WatchCatchUpMs, _options.EffectiveHeartbeatMs), now);

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
        // Batches that give way may be queued at the follower, and resending them would lengthen that queue.
        var resend = LaneOf(follower) == PushLane.CatchUp ? CatchUpPatience * _options.ResendMs : _options.ResendMs;
        if (follower.IsAligned && follower.NextOffset > follower.StatedEnd && now - follower.BatchesPushedAt > resend)
            follower.Rewind();
        Watch(follower, now);
        Fill(follower);
        // A follower that is not aligned owes a lookup; if that was lost, it must be triggered again soon.
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
