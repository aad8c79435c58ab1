using OrleansMq.Api;

namespace OrleansMq.Client;

/// <content>Membership of a generation: heartbeats, and the conditions that end it.</content>
internal sealed partial class ClassicProtocolMember
{
    /// <summary>Sends heartbeats until the member has to rejoin.</summary>
    private async Task<GroupReply> StayAsync()
    {
        var listedAt = _reader.TimeProvider.GetTimestamp();
        var askedAt = listedAt;
        var missing = new MissingTopics(_broker, _options, _reader);
        missing.Set(_isLeader ? _watched.Except(_topics.Select(static topic => topic.Name)) : [], isMatchMissing: false);
        var wait = missing.NextWait();
        while (true)
        {
            if (await WaitAsync(_options.HeartbeatInterval).ConfigureAwait(false))
                return new GroupReply(ErrorCode.None); // The subscription changed.
            var reply = await BeatAsync().ConfigureAwait(false);
            if (reply.Error == ErrorCode.RebalanceInProgress)
                return new GroupReply(ErrorCode.None);
            // A coordinator that does not answer is retried until the session times out.
            if (reply.Error != ErrorCode.None && (reply.Error.Action() != ErrorAction.Retry || Metadata.MemberId.Length == 0))
                return reply;
            if (_incomplete is { } assignment && !await TryApplyAsync(assignment).ConfigureAwait(false))
                return new GroupReply(ErrorCode.None);
            var mayExist = false;
            if (missing.IsAny && _reader.TimeProvider.GetElapsedTime(askedAt) >= wait)
            {
                var asked = missing.MayExistAsync(_stop.Token);
                await WhileBeatingAsync(asked).ConfigureAwait(false);
                mayExist = await asked.ConfigureAwait(false);
                (askedAt, wait) = (_reader.TimeProvider.GetTimestamp(), missing.NextWait());
            }
            if (!mayExist && _reader.TimeProvider.GetElapsedTime(listedAt) < _options.MetadataMaxAge)
                continue;
            if (await HaveTopicsChangedAsync().ConfigureAwait(false))
                return new GroupReply(ErrorCode.None);
            listedAt = _reader.TimeProvider.GetTimestamp();
        }
    }

    private async Task<GroupReply> BeatAsync()
    {
        var who = Metadata;
        if (who.MemberId.Length == 0 || who.GenerationIdOrMemberEpoch < 0)
            return new GroupReply(ErrorCode.UnknownMemberId, "the session has timed out");
        var askedAt = _reader.TimeProvider.GetTimestamp();
        using var limit = new CancellationTokenSource(AnswerTimeout, _reader.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, _stop.Token);
        try
        {
            var reply = await _groups.HeartbeatAsync(new Heartbeat(_options.GroupId!, who.GenerationIdOrMemberEpoch, who.MemberId,
                _options.GroupInstanceId), either.Token).ConfigureAwait(false);
            if (reply.Error is ErrorCode.None or ErrorCode.RebalanceInProgress)
                Renew(askedAt);
            return reply;
        }
        catch (BrokerException e)
        {
            return new GroupReply(e.Code, e.Message);
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested && !_stop.IsCancellationRequested)
        {
            return new GroupReply(ErrorCode.RequestTimedOut, $"no response within {AnswerTimeout}");
        }
    }

    /// <summary>Keeps the session alive during other work. That work, or the code after it, reacts to the responses.</summary>
    private async Task WhileBeatingAsync(Task work)
    {
        while (!work.IsCompleted)
        {
            using var ended = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            var pause = Task.Delay(_options.HeartbeatInterval, _reader.TimeProvider, ended.Token);
            if (await Task.WhenAny(work, pause).ConfigureAwait(false) == work)
            {
                await ended.CancelAsync().ConfigureAwait(false);
                break;
            }
            _stop.Token.ThrowIfCancellationRequested();
            await BeatAsync().ConfigureAwait(false);
        }
        await work.ConfigureAwait(false);
    }

    /// <summary>Whether a topic change requires a new generation. The leader checks all topics of the group, each member its own
    /// pattern.</summary>
    private async Task<bool> HaveTopicsChangedAsync()
    {
        IReadOnlyList<Api.TopicListing> now;
        try
        {
            now = await _broker.ListTopicsAsync(_stop.Token).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry)
        {
            return false; // The caller checks again.
        }
        Subscription subscription;
        lock (_gate)
            subscription = _subscription;
        var matches = subscription.Regex is not null
            && !SubscribedTopics.Of(subscription, now).Select(static topic => topic.Name).ToHashSet()
            .SetEquals(SubscribedTopics.Of(subscription, _topics).Select(static topic => topic.Name));
        var watched = _isLeader && !Counts(now).SetEquals(Counts(_topics));
        return matches || watched;

        HashSet<(string, Guid, int)> Counts(IReadOnlyList<Api.TopicListing> topics) =>
            [.. topics.Where(topic => _watched.Contains(topic.Name)).Select(static topic => (topic.Name, topic.TopicId, topic.Partitions))];
    }

    /// <summary>Waits. Returns true if the subscription changed in the meantime.</summary>
    private async Task<bool> WaitAsync(TimeSpan wait)
    {
        using var limit = new CancellationTokenSource(wait, _reader.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, _stop.Token);
        try
        {
            await _changed.WaitAsync(either.Token).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
        {
            return false;
        }
    }

    private void Renew(long askedAt)
    {
        _lease.Renew(askedAt);
        _leaseTimer.Change(_options.SessionTimeoutOrDefault + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
    }

    private void CheckLease()
    {
        if (_lease.IsOver)
            SessionIsOver();
    }

    private int Losses()
    {
        lock (_gate)
            return _losses;
    }

    /// <summary>Discards the member id, which the coordinator does not know (any more), to join as a new member.</summary>
    private void Forget(ErrorCode code)
    {
        Lose($"the coordinator returned {code}");
        lock (_gate)
            _memberId = "";
    }

    private void Lose(string reason)
    {
        lock (_gate)
        {
            _losses++;
            _generation = -1;
            _target.LoseAll(reason);
        }
    }
}
