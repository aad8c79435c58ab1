namespace OrleansMq.Replication;

// The leader's talk with its followers.
internal sealed partial class LeaderReplica
{
    /// <summary>A follower answered a push.</summary>
    public void OnPushAnswer(PushAnswer answer, long now)
    {
        if (!IsForMe(answer) || ProgressOf(answer.Follower.Broker) is not { } progress || !progress.Belongs(answer.Follower, answer.Session))
            return;
        progress.Acknowledged(answer.SentAt);
        switch (answer.Outcome)
        {
            case PushAnswerOutcome.Accepted:
                progress.Accepted(answer);
                break;
            case PushAnswerOutcome.Gap:
                progress.NextOffset = Math.Min(progress.NextOffset, answer.LogEnd);
                break;
            case PushAnswerOutcome.NotAligned:
                progress.IsAligned = false;
                break;
        }
        PushTo(progress, now, heartbeat: false);
        Advance();
    }

    /// <summary>A follower asks where an epoch ends.</summary>
    public void OnAlignRequest(AlignRequest request)
    {
        if (IsForMe(request) && ProgressOf(request.Follower.Broker) is { } progress && progress.Belongs(request.Follower, request.Session))
        {
            _effects.Add(new SendMessage(request.Follower.Broker,
                new AlignAnswer(_topicId, Epoch, request.Session, _self.Broker, request.AskedEpoch, _log.EndOffsetFor(request.AskedEpoch))));
        }
    }

    /// <summary>Whether a message belongs to this epoch; one that tells of a later epoch ends the leadership.</summary>
    private bool IsForMe(ReplicationMessage message)
    {
        if (!LeadsStill() || message.TopicId != _topicId)
            return false;
        if (message is PushAnswer { Outcome: PushAnswerOutcome.Fenced } fenced && _rules.Fence(Epoch, fenced.Fence) == FenceOutcome.Refuse)
        {
            Stop();
            return false;
        }
        return _rules.Fence(message.Epoch, Epoch) == FenceOutcome.Current;
    }

    private void PushToAll(long now, bool heartbeat)
    {
        foreach (var follower in _followers)
            PushTo(follower, now, heartbeat);
    }

    private void PushTo(FollowerProgress follower, long now, bool heartbeat)
    {
        if (follower.IsAligned && follower.NextOffset > follower.CountedEnd && now - follower.PushedAt > _options.ResendMs)
            follower.NextOffset = follower.CountedEnd;
        var batches = new List<ReplicatedBatch>();
        if (follower.IsAligned && follower.NextOffset < _log.LogEndOffset)
            _log.Read(follower.NextOffset, _options.MaxBatchesPerPush, batches);
        if (batches.Count == 0 && !heartbeat)
            return;
        var previousEpoch = batches.Count > 0 && batches[0].BaseOffset > 0 ? _log.EpochOf(batches[0].BaseOffset - 1) : -1;
        _effects.Add(new SendMessage(follower.Broker, new Push(_topicId, Epoch, follower.Session, _self.Broker, previousEpoch, batches,
            _log.HighWatermark, _log.LogEndOffset, now)));
        if (batches.Count == 0)
            return;
        follower.NextOffset = batches[^1].NextOffset;
        follower.PushedAt = now;
    }
}
