using Microsoft.Extensions.Logging;

namespace OrleansMq.Client;

/// <content>Start and end of a consumer.</content>
internal sealed partial class ConsumerCore
{
    /// <summary>The time limit for the last commit and for leaving the group. A live coordinator answers sooner; without one the session
    /// times out by itself.</summary>
    private static readonly TimeSpan FarewellTimeout = TimeSpan.FromSeconds(10);

    private readonly CancellationTokenSource _hurry = new();
    private bool _isAssignedByHand;
    private volatile bool _wasToldWhatToRead;

    public void Assign(IEnumerable<TopicPartition> partitions, ReadFrom? start = null)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        ClaimedPartition[] wanted = [.. partitions.Distinct().Select(static partition => new ClaimedPartition(partition, Guid.Empty))];
        _ = start?.Chosen;
        AssignedPartition[] old;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closing is not null, typeof(IConsumer));
            if (_membership is not null)
                throw new InvalidOperationException("The consumer has a subscription. UnsubscribeAsync first.");
            _isAssignedByHand = _wasToldWhatToRead = true;
            old = [.. _assigned.Values];
            _assigned.Clear();
            foreach (var item in wanted)
                _assigned[item.Partition] = new AssignedPartition(Buffer, item.Partition, item.TopicId);
            StartAutoCommit();
        }
        foreach (var claim in old)
            claim.Leave();
        var claims = Claims().ToList();
        foreach (var claim in claims)
            claim.AllowBegin();
        _ = Task.Run(() => StartAsync(claims, start));
    }

    public Task UnsubscribeAsync(CancellationToken cancellationToken = default)
    {
        lock (_gate)
            ObjectDisposedException.ThrowIf(_closing is not null, typeof(IConsumer));
        return LetGoAsync(forGood: true, cancellationToken);
    }

    public Task CloseAsync(CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            _isClosing = true;
            return _closing ??= EndAsync(cancellationToken);
        }
    }

    public ValueTask DisposeAsync() => new(CloseAsync());

    private void Subscribe(Subscription subscription)
    {
        IMembership? existing;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closing is not null, typeof(IConsumer));
            if (_isAssignedByHand)
                throw new InvalidOperationException("Partitions were assigned by hand. UnsubscribeAsync first.");
            if (_options.GroupId is null && !_options.Broadcast)
                throw new InvalidOperationException("A subscription needs ConsumerOptions.GroupId, or Broadcast to get everything; without "
                    + "a group, use Assign.");
            if (Volatile.Read(ref _failure) is not null)
            {
                Volatile.Write(ref _failure, null);
                _membership = null;
            }
            StartAutoCommit();
            existing = _membership;
            if (existing is null)
            {
                _membership = CreateMembership(subscription);
                _membership.Start();
            }
            _wasToldWhatToRead = true;
        }
        // A membership calls back under its own lock, so it is never called under this one.
        existing?.Change(subscription);
        _ = WarnOfMissingAsync(subscription);
    }

    /// <summary>Warns once of subscribed topics that do not exist: they may be created later, or their names are wrong.</summary>
    private async Task WarnOfMissingAsync(Subscription subscription)
    {
        try
        {
            while (true)
            {
                try
                {
                    var missing = await MissingAsync(subscription).ConfigureAwait(false);
                    if (missing is not null)
                        LogMissing(Group, missing);
                    return;
                }
                catch (BrokerException e) when (e.Action == ErrorAction.Retry)
                {
                    await Task.Delay(_reader.RetryBackoffMax, Time, _stop.Token).ConfigureAwait(false);
                }
            }
        }
        catch (Exception e) when (e is BrokerException or OperationCanceledException or ArgumentException)
        {
            // Closed; or the membership fails in the same way, and reports it to the application.
        }
    }

    /// <summary>Describes what is missing; null if nothing is.</summary>
    private async Task<string?> MissingAsync(Subscription subscription)
    {
        await Task.Yield(); // A broker in process may do some of the work before it returns.
        if (subscription.Regex is { } regex)
        {
            var topics = await _broker.ListTopicsAsync(_stop.Token).ConfigureAwait(false);
            return SubscribedTopics.Of(subscription, topics).Any() ? null : $"no topic matches '{regex}'";
        }
        List<string> missing = [];
        foreach (var topic in subscription.Topics)
        {
            try
            {
                await _broker.GetTopicAsync(topic, _stop.Token).ConfigureAwait(false);
            }
            catch (BrokerException e) when (e.Code == ErrorCode.UnknownTopicOrPartition)
            {
                missing.Add($"'{topic}'");
            }
        }
        return missing.Count == 0 ? null
            : $"{(missing.Count == 1 ? "topic" : "topics")} {string.Join(", ", missing)} {(missing.Count == 1 ? "does" : "do")} not exist";
    }

    private IMembership CreateMembership(Subscription subscription) =>
        _options.Broadcast ? new BroadcastMember(_broker, _options, _reader, this, subscription, _logger)
        : _options.Protocol == GroupType.Classic
        ? new ClassicProtocolMember(_broker, _options, _reader, this, _lease, subscription, _logger)
        : new ConsumerProtocolMember(_broker, _options, _reader, this, _lease, subscription, _logger);

    private void StartAutoCommit()
    {
        if (_options.AutoCommit && _options.GroupId is not null)
            _autoCommit ??= Task.Run(AutoCommitAsync);
    }

    private async Task LetGoAsync(bool forGood, CancellationToken cancellationToken)
    {
        BeforeDrain();
        var membership = Membership;
        await RevokeAsync(Assignment).ConfigureAwait(false);
        if (membership is not null)
        {
            using var limit = new CancellationTokenSource(FarewellTimeout, Time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
            await membership.LeaveAsync(forGood, either.Token).ConfigureAwait(false);
        }
        // Revokes partitions that were assigned in the meantime.
        await RevokeAsync(Assignment).ConfigureAwait(false);
        lock (_gate)
        {
            _membership = null;
            _isAssignedByHand = false;
            _failure = null;
        }
    }

    /// <summary>Stops waiting for records in flight. What is done is committed nevertheless.</summary>
    private void Hurry()
    {
        _ = _hurry.CancelAsync();
        _stop.CancelAfter(FarewellTimeout);
    }

    private async Task EndAsync(CancellationToken cancellationToken)
    {
        await Task.Yield(); // Leaves the caller's lock.
        Buffer.Wake();
        try
        {
            // Draining has its own limit. The last commit and the leave request either complete quickly or not at all.
            using var limit = new CancellationTokenSource(_options.DrainTimeout + FarewellTimeout, Time);
            using var stopping = limit.Token.UnsafeRegister(static stop => ((CancellationTokenSource)stop!).Cancel(), _stop);
            using var hurrying = cancellationToken.UnsafeRegister(static core => ((ConsumerCore)core!).Hurry(), this);
            await LetGoAsync(forGood: false, _stop.Token).ConfigureAwait(false);
        }
        finally
        {
            // Whatever leaving has thrown: nothing of the consumer goes on.
            await _stop.CancelAsync().ConfigureAwait(false);
            if (_autoCommit is { } autoCommit)
                await autoCommit.ConfigureAwait(false);
            await Buffer.DisposeAsync().ConfigureAwait(false);
        }
    }

    [LoggerMessage(49, LogLevel.Warning, "Group {Group}: {Missing}. The consumer waits until it is created; check the name, or create it "
        + "with IAdmin.EnsureTopicAsync.")]
    private partial void LogMissing(string group, string missing);
}
